// Addresses and routes: how many bridges share one subnet, and what of a host's own is in the way.
#include <fstream>

#include <wso/base/error.hpp>
#include <wso/net/link.hpp>
#include <wso/net/route.hpp>

#include "tap_guest.hpp"
#include "witness.hpp"

namespace wso::net {
namespace {

using test::run;
using test::run_json;
using test::TapGuest;

class RouteTest : public test::NetnsTest {
 protected:
  nl_sock* socket() const { return socket_.get(); }

  NlSocket socket_ = open_route_socket();
};

TEST_F(RouteTest, TheGatewayAddressClaimsNoSubnet) {
  const TapGuest guest(socket(), "1", "192.168.100.7");
  const Json address = run_json("ip -j -4 address show virbr1").at(0).at("addr_info").at(0);
  EXPECT_EQ(address.at("local"), "192.168.100.1");
  EXPECT_EQ(address.at("prefixlen"), 24);
  EXPECT_EQ(address.at("noprefixroute"), true);
  const Json routes = run_json("ip -j -4 route show table main");
  ASSERT_EQ(routes.size(), 1U);
  EXPECT_EQ(routes[0].at("dst"), "192.168.100.7");
  EXPECT_EQ(routes[0].at("dev"), "virbr1");
  EXPECT_EQ(routes[0].at("prefsrc"), "192.168.100.1");
  EXPECT_EQ(routes[0].at("scope"), "link");
  delete_link(socket(), guest.bridge());
}

TEST_F(RouteTest, BridgesShareSubnetAndGateway) {
  const TapGuest first(socket(), "1", "192.168.100.7");
  const TapGuest second(socket(), "2", "192.168.100.8");
  // Each is alone to answer, so that it is the right one that was asked.
  EXPECT_TRUE(test::ping("192.168.100.7", {&first}));
  EXPECT_TRUE(test::ping("192.168.100.8", {&second}));
  delete_link(socket(), second.bridge());
  EXPECT_TRUE(test::ping("192.168.100.7", {&first}));
  delete_link(socket(), first.bridge());
}

TEST_F(RouteTest, APermanentNeighbourIsNeverAskedFor) {
  const int bridge = create_bridge(socket(), "virbr1", parse_mac("fe:54:00:12:34:56"), link_group);
  bring_up(socket(), bridge);
  for (const auto* mac : {"52:54:00:12:34:56", "52:54:00:ff:ff:ff"}) {
    add_neighbour(socket(), bridge, parse_ipv4("192.168.100.7"), parse_mac(mac));
    const Json neighbours = run_json("ip -j -4 neighbour show dev virbr1");
    ASSERT_EQ(neighbours.size(), 1U);
    EXPECT_EQ(neighbours[0].at("dst"), "192.168.100.7");
    EXPECT_EQ(neighbours[0].at("lladdr"), mac);
    EXPECT_EQ(neighbours[0].at("state").at(0), "PERMANENT");
  }
  delete_link(socket(), bridge);
}

TEST_F(RouteTest, AFailureNamesTheAddressAndTheLink) {
  const int bridge = create_bridge(socket(), "virbr1", parse_mac("fe:54:00:12:34:56"), link_group);
  add_gateway_address(socket(), bridge, parse_ipv4("192.168.100.1"), 24);
  const auto sentence_of = [](auto call) -> std::string {
    try {
      call();
    } catch (const Error& error) {
      return error.what();
    }
    return "no error";
  };
  EXPECT_EQ(
      sentence_of([&] { add_gateway_address(socket(), bridge, {0xc0a86402}, 33); }),
      "add the address 192.168.100.2 on virbr1: Invalid argument (ipv4: Invalid prefix length)");
  EXPECT_EQ(
      sentence_of([&] { add_host_route(socket(), bridge, {0xc0a86407}, {0xc0a86401}); }),
      "add the route to 192.168.100.7 on virbr1: Network is down (Device for nexthop is not up)");
  EXPECT_EQ(sentence_of([&] { add_neighbour(socket(), 9999, {0xc0a86407}, {}); }),
            "add the neighbour 192.168.100.7 on link 9999: No such device");
  delete_link(socket(), bridge);
}

struct OverlapCase {
  const char* name;
  const char* setup;     // in a namespace that has the links eth0 (up), eth1 and our bridge virbr1
  const char* overlaps;  // what the sentence names; empty: the subnet is free
};

class OverlapTest : public test::NetnsTest, public testing::WithParamInterface<OverlapCase> {};

TEST_P(OverlapTest, IsFoundAndNamed) {
  const NlSocket socket = open_route_socket();
  run("ip link add eth0 type veth peer name eth1 && ip link set eth0 up && ip link set eth1 up");
  const int bridge =
      create_bridge(socket.get(), "virbr1", parse_mac("fe:54:00:12:34:56"), link_group);
  bring_up(socket.get(), bridge);
  run(GetParam().setup);
  const std::string overlaps = GetParam().overlaps;
  const auto found = find_overlap(socket.get(), parse_ipv4_subnet("192.168.100.0/24"), link_group);
  EXPECT_EQ(found.value_or(""), overlaps.empty()
                                    ? ""
                                    : "subnet 192.168.100.0/24 overlaps " + overlaps +
                                          ": choose another subnet in the configuration");
  run("ip -4 route flush table main; ip link delete eth0");  // and with it what is in table 100
  delete_link(socket.get(), bridge);
}

INSTANTIATE_TEST_SUITE_P(
    Host, OverlapTest,
    testing::Values(
        OverlapCase{"Nothing", "true", ""},
        OverlapCase{
            "Neighbours",
            "ip address add 192.168.99.255/24 dev eth0; ip address add 192.168.101.0/24 dev eth0",
            ""},
        OverlapCase{"DefaultRoute", "ip route add default dev eth0", ""},
        OverlapCase{"DefaultRouteInHalves",
                    "ip route add 0.0.0.0/1 dev eth0; ip route add 128.0.0.0/1 dev eth0", ""},
        OverlapCase{
            "OurOwn",
            "ip address add 192.168.100.1/24 dev virbr1; ip route add 192.168.100.7 dev virbr1",
            ""},
        OverlapCase{"OurOwnThatDies",
                    "ip link set virbr1 group 7828336; ip address add 192.168.100.1/24 dev virbr1",
                    ""},
        OverlapCase{"SameSubnet", "ip address add 192.168.100.1/24 dev eth0",
                    "192.168.100.0/24 dev eth0 (address)"},
        OverlapCase{"WiderAddress", "ip address add 192.168.1.1/16 dev eth0",
                    "192.168.0.0/16 dev eth0 (address)"},
        OverlapCase{"SingleAddress", "ip address add 192.168.100.255/32 dev eth0",
                    "192.168.100.255/32 dev eth0 (address)"},
        OverlapCase{"AddressOfADownLink",
                    "ip link set eth0 down; ip address add 192.168.100.9/30 dev eth0",
                    "192.168.100.8/30 dev eth0 (address)"},
        OverlapCase{"AddressWithoutPrefixRoute",
                    "ip address add 192.168.100.1/24 dev eth0 noprefixroute",
                    "192.168.100.0/24 dev eth0 (address)"},
        OverlapCase{"OurEndOfAPointToPoint",
                    "ip address add 192.168.100.1 peer 10.0.0.1/32 dev eth0",
                    "192.168.100.1/32 dev eth0 (address)"},
        OverlapCase{"TheOtherEndOfAPointToPoint",
                    "ip address add 10.0.0.1 peer 192.168.100.1/32 dev eth0",
                    "192.168.100.1/32 dev eth0 (address)"},
        OverlapCase{"WiderRoute", "ip route add 192.168.0.0/16 dev eth0",
                    "192.168.0.0/16 dev eth0 (route, table main)"},
        OverlapCase{"NarrowerRoute", "ip route add 192.168.100.128/25 dev eth0",
                    "192.168.100.128/25 dev eth0 (route, table main)"},
        OverlapCase{"RouteOfAnotherTable", "ip route add 192.168.100.0/24 dev eth0 table 100",
                    "192.168.100.0/24 dev eth0 (route, table 100)"},
        OverlapCase{"WholeSubnetOfLocalAddresses", "ip route add local 192.168.0.0/16 dev eth0",
                    "192.168.0.0/16 dev eth0 (route, table local)"},
        OverlapCase{"RouteWithoutALink", "ip route add blackhole 192.168.0.0/16",
                    "192.168.0.0/16 (route, table main)"},
        OverlapCase{"RouteWithManyHops",
                    "ip route add 192.168.0.0/16 nexthop dev eth1 nexthop dev eth0",
                    "192.168.0.0/16 dev eth1 (route, table main)"}),
    [](const auto& one) { return one.param.name; });

TEST_F(RouteTest, AFullRoutingTableIsRead) {
  run("ip link add eth0 type veth peer name eth1 && ip link set eth0 up && ip link set eth1 up");
  run("awk 'BEGIN { for (i = 0; i < 100000; i++) "
      "printf \"route add %d.%d.%d.0/24 dev eth0\\n\", 20 + i / 65536, i / 256 % 256, i % 256 }' "
      "| ip -batch -");
  EXPECT_EQ(find_overlap(socket(), parse_ipv4_subnet("192.168.100.0/24"), link_group),
            std::nullopt);
  EXPECT_TRUE(find_overlap(socket(), parse_ipv4_subnet("20.0.0.0/8"), link_group));
  run("ip link delete eth0");
}

}  // namespace
}  // namespace wso::net
