// What the notifications say about links of ours, message by message. Real ones are in tests/netns.
#include <random>

#include <gtest/gtest.h>
#include <linux/if_addr.h>
#include <linux/if_link.h>
#include <linux/neighbour.h>
#include <linux/netconf.h>
#include <linux/rtnetlink.h>
#include <net/if.h>

#include <wso/net/watch.hpp>

namespace wso::net {
namespace {

template <typename T>
std::string bytes_of(const T& value) {
  return {reinterpret_cast<const char*>(&value), sizeof value};
}

std::string attribute(int type, const std::string& contents) {
  const nlattr header{static_cast<__u16>(sizeof(nlattr) + contents.size()),
                      static_cast<__u16>(type)};
  std::string text = bytes_of(header) + contents;
  text.resize((text.size() + 3) & ~std::size_t{3});
  return text;
}

constexpr int bridge_index = 5;

struct LinkText {
  int index = bridge_index;
  std::string name = "virbrweb";
  std::uint32_t group = link_group;
  int master = 0;
  bool up = true;
  unsigned char family = AF_UNSPEC;
  std::string mac = "macmac";
};

std::string text_of(const LinkText& link) {
  ifinfomsg header{};
  header.ifi_family = link.family;
  header.ifi_index = link.index;
  header.ifi_flags = link.up ? IFF_UP : 0;
  std::string text = bytes_of(header) + attribute(IFLA_IFNAME, link.name + '\0') +
                     attribute(IFLA_GROUP, bytes_of(link.group)) +
                     attribute(IFLA_ADDRESS, link.mac);
  if (link.master != 0) text += attribute(IFLA_MASTER, bytes_of(link.master));
  return text;
}

std::string neighbour_text(unsigned char family, int index) {
  ndmsg header{};
  header.ndm_family = family;
  header.ndm_ifindex = index;
  return bytes_of(header);
}

std::string address_text(unsigned char family, int index) {
  ifaddrmsg header{};
  header.ifa_family = family;
  header.ifa_index = static_cast<unsigned>(index);
  return bytes_of(header);
}

std::string route_text(unsigned char family, int index, unsigned char prefix_length = 32) {
  rtmsg header{};
  header.rtm_family = family;
  header.rtm_dst_len = prefix_length;
  return bytes_of(header) + attribute(RTA_DST, "\xc0\xa8\x64\x07") +
         attribute(RTA_OIF, bytes_of(index));
}

std::string forwarding_text(unsigned char family, int index, int forwarding) {
  netconfmsg header{};
  header.ncm_family = family;
  std::string text = bytes_of(header);
  text.resize(NLMSG_ALIGN(text.size()));
  return text + attribute(NETCONFA_IFINDEX, bytes_of(index)) +
         attribute(NETCONFA_FORWARDING, bytes_of(forwarding));
}

class OwnLinksTest : public testing::Test {
 protected:
  OwnLinksTest() {
    Link bridge;
    bridge.index = bridge_index;
    bridge.name = "virbrweb";
    bridge.up = true;
    Link tap = bridge;
    tap.index = 6;
    tap.name = "vnetweb";
    tap.master = bridge_index;
    for (Link* link : {&bridge, &tap}) link->mac.bytes = {'m', 'a', 'c', 'm', 'a', 'c'};
    links_.learn({bridge, tap});
  }

  Damage after(int type, const std::string& body, int flags = 0) {
    Damage damage;
    links_.follow({type, flags, 0, body}, damage);
    return damage;
  }

  OwnLinks links_;
};

const Damage bridge_damage{{"virbrweb"}, {}};
const Damage tap_damage{{"vnetweb"}, {}};

TEST_F(OwnLinksTest, TurnsForTheWorseAreDamage) {
  EXPECT_EQ(after(RTM_NEWLINK, text_of({.up = false})), bridge_damage);
  EXPECT_TRUE(after(RTM_NEWLINK, text_of({.up = false})).none());  // once
  EXPECT_TRUE(after(RTM_NEWLINK, text_of({})).none());
  EXPECT_EQ(after(RTM_NEWLINK, text_of({.mac = "other!"})), bridge_damage);
  EXPECT_EQ(after(RTM_NEWLINK, text_of({.name = "renamed", .mac = "other!"})), bridge_damage);
  EXPECT_EQ(after(RTM_NEWLINK, text_of({.index = 6, .name = "vnetweb", .master = 9})), tap_damage);
}

TEST_F(OwnLinksTest, LossesAreDamage) {
  EXPECT_EQ(after(RTM_DELADDR, address_text(AF_INET, bridge_index)), bridge_damage);
  EXPECT_EQ(after(RTM_DELROUTE, route_text(AF_INET, bridge_index)), bridge_damage);
  EXPECT_EQ(after(RTM_DELNEIGH, neighbour_text(AF_INET, bridge_index)), bridge_damage);
  EXPECT_EQ(after(RTM_NEWLINK, text_of({.group = 0})), bridge_damage);
  EXPECT_TRUE(after(RTM_DELLINK, text_of({.group = 0})).none());
  const LinkText tap{.index = 6, .name = "vnetweb"};
  EXPECT_EQ(after(RTM_DELLINK, text_of(tap)), tap_damage);
  EXPECT_TRUE(after(RTM_DELNEIGH, neighbour_text(AF_INET, 6)).none());
}

TEST_F(OwnLinksTest, ARouteThatIsReplacedByOthersIsDamage) {
  const Damage damage{{}, {parse_ipv4("192.168.100.7")}};
  EXPECT_EQ(after(RTM_NEWROUTE, route_text(AF_INET, 9), NLM_F_REPLACE), damage);
  EXPECT_EQ(after(RTM_NEWROUTE, route_text(AF_INET, 0), NLM_F_REPLACE), damage);  // a blackhole
  EXPECT_TRUE(after(RTM_NEWROUTE, route_text(AF_INET, bridge_index), NLM_F_REPLACE).none());
  EXPECT_TRUE(after(RTM_NEWROUTE, route_text(AF_INET, 9), NLM_F_CREATE).none());
  EXPECT_TRUE(after(RTM_NEWROUTE, route_text(AF_INET, 9, 24), NLM_F_REPLACE).none());
  EXPECT_TRUE(after(RTM_NEWROUTE, route_text(AF_INET6, 9), NLM_F_REPLACE).none());
}

TEST_F(OwnLinksTest, ForwardingIsThatOfAllLinksOrOfOurs) {
  const Damage damage{{}, {}, true};
  EXPECT_EQ(after(RTM_NEWNETCONF, forwarding_text(AF_INET, NETCONFA_IFINDEX_ALL, 0)), damage);
  EXPECT_TRUE(after(RTM_NEWNETCONF, forwarding_text(AF_INET, NETCONFA_IFINDEX_ALL, 1)).none());
  EXPECT_TRUE(after(RTM_NEWNETCONF, forwarding_text(AF_INET, NETCONFA_IFINDEX_DEFAULT, 0)).none());
  EXPECT_EQ(after(RTM_NEWNETCONF, forwarding_text(AF_INET, bridge_index, 0)), bridge_damage);
  EXPECT_TRUE(after(RTM_NEWNETCONF, forwarding_text(AF_INET, bridge_index, 1)).none());
  EXPECT_TRUE(after(RTM_NEWNETCONF, forwarding_text(AF_INET, 9, 0)).none());
  EXPECT_TRUE(after(RTM_NEWNETCONF, forwarding_text(AF_INET6, NETCONFA_IFINDEX_ALL, 0)).none());
  EXPECT_TRUE(after(RTM_DELNETCONF, forwarding_text(AF_INET, NETCONFA_IFINDEX_ALL, 0)).none());
}

TEST_F(OwnLinksTest, WhatWeDeleteAndWhatComesIsNoDamage) {
  EXPECT_TRUE(after(RTM_NEWLINK, text_of({.group = dying_link_group})).none());
  EXPECT_TRUE(after(RTM_DELROUTE, route_text(AF_INET, bridge_index)).none());
  EXPECT_TRUE(after(RTM_NEWLINK, text_of({.index = 6, .name = "vnetweb"})).none());
  EXPECT_TRUE(after(RTM_DELLINK, text_of({.group = dying_link_group})).none());
  EXPECT_TRUE(after(RTM_NEWLINK, text_of({.index = 7, .name = "virbrdb", .up = false})).none());
  EXPECT_TRUE(after(RTM_NEWLINK, text_of({.index = 7, .name = "virbrdb"})).none());
  EXPECT_TRUE(after(RTM_NEWLINK, text_of({.index = 8, .name = "vnetdb", .up = false})).none());
  EXPECT_TRUE(after(RTM_NEWLINK, text_of({.index = 8, .name = "vnetdb", .master = 7})).none());
  EXPECT_EQ(after(RTM_NEWLINK, text_of({.index = 8, .name = "vnetdb"})), (Damage{{"vnetdb"}, {}}));
}

TEST_F(OwnLinksTest, WhatIsOfOthersIsNoDamage) {
  EXPECT_TRUE(after(RTM_DELLINK, text_of({.index = 9, .group = 0})).none());
  EXPECT_TRUE(after(RTM_NEWLINK, text_of({.index = 9, .group = 0, .up = false})).none());
  EXPECT_TRUE(after(RTM_DELLINK, text_of({.family = AF_BRIDGE})).none());
  EXPECT_TRUE(after(RTM_NEWLINK, text_of({.up = false, .family = AF_BRIDGE})).none());
  for (const unsigned char family : {AF_INET6, AF_BRIDGE, AF_UNSPEC}) {
    EXPECT_TRUE(after(RTM_DELADDR, address_text(family, bridge_index)).none());
    EXPECT_TRUE(after(RTM_DELROUTE, route_text(family, bridge_index)).none());
    EXPECT_TRUE(after(RTM_DELNEIGH, neighbour_text(family, bridge_index)).none());
  }
  for (const int type :
       std::initializer_list<int>{RTM_NEWADDR, RTM_NEWROUTE, RTM_NEWNEIGH, 0, 0xffff})
    EXPECT_TRUE(after(type, route_text(AF_INET, bridge_index)).none()) << type;
  for (const int index : {0, -1, 9}) {
    EXPECT_TRUE(after(RTM_DELADDR, address_text(AF_INET, index)).none()) << index;
    EXPECT_TRUE(after(RTM_DELROUTE, route_text(AF_INET, index)).none()) << index;
  }
}

TEST_F(OwnLinksTest, WhatIsCutShortDoesNoHarm) {
  const std::vector<std::pair<int, std::string>> messages = {
      {RTM_NEWLINK, text_of({.master = 9})},
      {RTM_DELLINK, text_of({})},
      {RTM_DELADDR, address_text(AF_INET, bridge_index)},
      {RTM_DELROUTE, route_text(AF_INET, bridge_index)},
      {RTM_NEWROUTE, route_text(AF_INET, 9)},
      {RTM_DELNEIGH, neighbour_text(AF_INET, bridge_index)},
      {RTM_NEWNETCONF, forwarding_text(AF_INET, NETCONFA_IFINDEX_ALL, 0)}};
  for (const auto& [type, body] : messages)
    for (std::size_t size = 0; size < body.size(); ++size) {
      // A copy of that size, so that a sanitizer sees a byte read too far.
      const std::vector<char> cut(body.begin(), body.begin() + static_cast<long>(size));
      Damage damage;
      links_.follow({type, NLM_F_REPLACE, 0, {cut.data(), cut.size()}}, damage);
      EXPECT_FALSE(damage.overrun || damage.forwarding) << type << " " << size;
    }
}

TEST_F(OwnLinksTest, NonsenseDoesNoHarm) {
  std::mt19937 random(4711);
  const std::string real = text_of({.master = 9});
  for (int round = 0; round < 20000; ++round) {
    std::vector<char> body(real.begin(), real.end());
    body.resize(random() % (real.size() + 8));
    for (int change = 0; change < 4 && !body.empty(); ++change)
      body[random() % body.size()] = static_cast<char>(random());
    const int type = RTM_NEWLINK + static_cast<int>(random() % 80);
    Damage damage;
    links_.follow({type, NLM_F_REPLACE, 0, {body.data(), body.size()}}, damage);
    EXPECT_LE(damage.links.size(), 1U);
  }
}

}  // namespace
}  // namespace wso::net
