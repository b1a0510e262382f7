// Addresses, subnets and MAC addresses as text: only one way to write each is understood.
#include <gtest/gtest.h>

#include <wso/base/error.hpp>
#include <wso/net/address.hpp>

namespace wso::net {
namespace {

using std::string_view_literals::operator""sv;

template <typename Parse>
void expect_refused(Parse parse, std::string_view text) {
  try {
    parse(text);
    ADD_FAILURE() << "accepted: \"" << text << '"';
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), Errc::invalid_argument) << text;
    const std::string_view shown = text.substr(0, text.find('\0'));
    EXPECT_NE(std::string_view(error.what()).find(shown), std::string_view::npos) << error.what();
  }
}

TEST(Ipv4AddressTest, IsWrittenAsItIsRead) {
  EXPECT_EQ(parse_ipv4("192.168.100.1").value, 0xc0a86401);
  for (const auto* text : {"0.0.0.0", "255.255.255.255", "10.0.200.9", "1.2.3.4"})
    EXPECT_EQ(to_string(parse_ipv4(text)), text);
}

TEST(Ipv4AddressTest, AnythingElseIsRefused) {
  for (const auto text : {""sv,          " "sv,         "1"sv,          "1.2.3"sv,
                          "1.2.3."sv,    ".1.2.3"sv,    "1..2.3"sv,     "1.2.3.4."sv,
                          "1.2.3.4.5"sv, "256.1.1.1"sv, "1.1.1.256"sv,  "1.1.1.4294967297"sv,
                          "-1.2.3.4"sv,  "+1.2.3.4"sv,  "01.2.3.4"sv,   "1.2.3.00"sv,
                          "0x1.2.3.4"sv, "1.2.3.4 "sv,  " 1.2.3.4"sv,   "1.2. 3.4"sv,
                          "1.2.3.4\n"sv, "1.2.3.4\0"sv, "1.2.3.a"sv,    "1,2,3,4"sv,
                          "::1"sv,       "localhost"sv, "1.2.3.4/24"sv, "..."sv})
    expect_refused(parse_ipv4, text);
}

TEST(Ipv4SubnetTest, IsWrittenAsItIsRead) {
  for (const auto* text :
       {"0.0.0.0/0", "192.168.100.0/24", "10.0.0.0/8", "1.2.3.4/32", "128.0.0.0/1"})
    EXPECT_EQ(to_string(parse_ipv4_subnet(text)), text);
}

TEST(Ipv4SubnetTest, AnythingElseIsRefused) {
  for (const auto text : {""sv,
                          "/"sv,
                          "/24"sv,
                          "192.168.100.0"sv,
                          "192.168.100.0/"sv,
                          "192.168.100.0/33"sv,
                          "192.168.100.0/-1"sv,
                          "192.168.100.0/+8"sv,
                          "192.168.100.0/024"sv,
                          "192.168.100.0/24 "sv,
                          "192.168.100.0 /24"sv,
                          "192.168.100.0/24/24"sv,
                          "192.168.100/24"sv,
                          "192.168.100.0/2x"sv,
                          "192.168.100.0/255.255.255.0"sv,
                          "192.168.100.0/99999999999"sv,
                          "192.168.100.0/24\0"sv,
                          "192.168.100.1/24"sv,
                          "192.168.101.0/23"sv,
                          "1.2.3.4/0"sv})
    expect_refused(parse_ipv4_subnet, text);
}

TEST(Ipv4SubnetTest, HostBitsAreAnsweredWithTheSubnet) {
  try {
    parse_ipv4_subnet("192.168.100.7/24");
    FAIL();
  } catch (const Error& error) {
    EXPECT_STREQ(error.what(),
                 "\"192.168.100.7/24\" is an address inside a subnet: write 192.168.100.0/24");
  }
}

TEST(Ipv4SubnetTest, ContainsFromItsBaseToItsBroadcast) {
  const Ipv4Subnet subnet = parse_ipv4_subnet("192.168.100.0/24");
  EXPECT_EQ(to_string(subnet.broadcast()), "192.168.100.255");
  EXPECT_TRUE(subnet.contains(subnet.base));
  EXPECT_TRUE(subnet.contains(subnet.broadcast()));
  EXPECT_FALSE(subnet.contains(parse_ipv4("192.168.99.255")));
  EXPECT_FALSE(subnet.contains(parse_ipv4("192.168.101.0")));
  const Ipv4Subnet everything = parse_ipv4_subnet("0.0.0.0/0");
  EXPECT_EQ(to_string(everything.broadcast()), "255.255.255.255");
  EXPECT_TRUE(everything.contains(parse_ipv4("8.8.8.8")));
  const Ipv4Subnet one = parse_ipv4_subnet("8.8.8.8/32");
  EXPECT_EQ(one.broadcast(), one.base);
  EXPECT_FALSE(one.contains(parse_ipv4("8.8.8.9")));
}

TEST(Ipv4SubnetTest, OverlapIsMutual) {
  const auto overlap = [](std::string_view a, std::string_view b) {
    const bool forth = parse_ipv4_subnet(a).overlaps(parse_ipv4_subnet(b));
    EXPECT_EQ(forth, parse_ipv4_subnet(b).overlaps(parse_ipv4_subnet(a))) << a << ' ' << b;
    return forth;
  };
  EXPECT_TRUE(overlap("192.168.100.0/24", "192.168.100.0/24"));
  EXPECT_TRUE(overlap("192.168.100.0/24", "192.168.0.0/16"));
  EXPECT_TRUE(overlap("192.168.100.0/24", "192.168.100.255/32"));
  EXPECT_TRUE(overlap("192.168.100.0/24", "0.0.0.0/0"));
  EXPECT_FALSE(overlap("192.168.100.0/24", "192.168.101.0/24"));
  EXPECT_FALSE(overlap("192.168.100.0/25", "192.168.100.128/25"));
  EXPECT_FALSE(overlap("192.168.100.0/24", "10.0.0.0/8"));
}

TEST(MacAddressTest, IsWrittenInLowerCase) {
  EXPECT_EQ(to_string(parse_mac("52:54:00:Ab:cD:0f")), "52:54:00:ab:cd:0f");
  EXPECT_EQ(to_string(MacAddress{}), "00:00:00:00:00:00");
}

TEST(MacAddressTest, AnythingElseIsRefused) {
  for (const auto text :
       {""sv, "52:54:00:12:34"sv, "52:54:00:12:34:"sv, "52:54:00:12:34:5"sv, "52:54:00:12:34:567"sv,
        "52:54:00:12:34:56:78"sv, "52-54-00-12-34-56"sv, "5254.0012.3456"sv, "52:54:00:12:34:5g"sv,
        "52:54:00:12:3456:"sv, "525:4:00:12:34:56"sv, ":52:54:00:12:34:5"sv, "-1:54:00:12:34:56"sv,
        "+1:54:00:12:34:56"sv, "0x:54:00:12:34:56"sv, " 2:54:00:12:34:56"sv, "52:54:00:12:34:5\0"sv,
        "52:54:00:12:34:56\n"sv})
    expect_refused(parse_mac, text);
}

}  // namespace
}  // namespace wso::net
