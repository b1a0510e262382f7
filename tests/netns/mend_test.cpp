// Whatever somebody does to the network of a running domain is noticed and mended, and a download
// of the guest goes on; what we do ourselves is not noticed.
#include <chrono>
#include <functional>

#include <sys/socket.h>

#include <wso/base/error.hpp>

#include "networks_fixture.hpp"

namespace wso::test {
namespace {

struct DamageCase {
  const char* name;
  const char* command;  // ADDRESS stands for the guest's
  Seen seen;
  std::vector<const char*> mended;  // by mend(), in its words
};

std::string with_address(std::string text, const domain::DomainPlan& plan) {
  if (const auto at = text.find("ADDRESS"); at != text.npos)
    text.replace(at, 7, net::to_string(plan.address));
  return text;
}

class DamageTest : public NetworksTest, public testing::WithParamInterface<DamageCase> {};

TEST_P(DamageTest, IsSeenAndMendedAndTheDownloadGoesOn) {
  networks_.start({});
  const Cable guest(networks_.build(plan_), plan_);
  ASSERT_EQ(seen(), Seen());
  const Flow download(guest, uplink_);
  ASSERT_TRUE(download.goes_on());
  const Json before = state();
  const std::string rules_before = run("nft -s list table inet wso");

  run(with_address(GetParam().command, plan_));
  constexpr int patience_ms = 2000;
  EXPECT_EQ(seen(patience_ms), GetParam().seen);

  EXPECT_EQ(networks_.mend_forwarding(), GetParam().seen.damage.forwarding);
  if (GetParam().seen.firewall) networks_.mend_firewall();
  std::vector<std::string> expected;
  for (const auto* words : GetParam().mended) expected.push_back(with_address(words, plan_));
  EXPECT_EQ(networks_.mend(plan_), expected);

  EXPECT_TRUE(download.goes_on());
  EXPECT_TRUE(Flow(guest, uplink_).goes_on());
  EXPECT_EQ(state(), before);
  EXPECT_EQ(run("nft -s list table inet wso"), rules_before);

  // Whatever mending has stirred up comes to rest.
  seen();
  EXPECT_EQ(networks_.mend(plan_), std::vector<std::string>());
  EXPECT_FALSE(networks_.mend_forwarding());
  EXPECT_EQ(seen(), Seen());
}

const Seen on_bridge{{{"virbrweb"}, {}}};
const Seen on_tap{{{"vnetweb"}, {}}};
const Seen on_both{{{"virbrweb", "vnetweb"}, {}}};
const Seen on_route{{{}, {plan_for("web").address}}};
// That of the host is that of every link.
const Seen no_forwarding{{{"virbrweb", "vnetweb"}, {}, true}};
const Seen in_firewall{{}, true};

INSTANTIATE_TEST_SUITE_P(
    Host, DamageTest,
    testing::Values(
        DamageCase{"BridgeDeleted", "ip link delete virbrweb", on_both, {"bridge virbrweb"}},
        DamageCase{
            "BridgeRenamed", "ip link set virbrweb name other", on_bridge, {"bridge virbrweb"}},
        DamageCase{"BridgeDown",
                   "ip link set virbrweb down",
                   on_bridge,
                   {"bridge virbrweb up", "route to ADDRESS", "neighbour ADDRESS"}},
        DamageCase{"BridgeDownAndUp",
                   "ip link set virbrweb down; ip link set virbrweb up",
                   on_bridge,
                   {"port vnetweb of bridge virbrweb", "route to ADDRESS", "neighbour ADDRESS"}},
        DamageCase{"TapDown", "ip link set vnetweb down", on_tap, {"tap vnetweb up"}},
        DamageCase{"TapDownAndUp",
                   "ip link set vnetweb down; ip link set vnetweb up",
                   on_tap,
                   {"port vnetweb of bridge virbrweb"}},
        DamageCase{"TapOutOfTheBridge",
                   "ip link set vnetweb nomaster",
                   on_tap,
                   {"tap vnetweb in bridge virbrweb"}},
        DamageCase{"MacOfTheBridge",
                   "ip link set virbrweb address 56:00:00:00:00:01",
                   on_bridge,
                   {"MAC address of virbrweb", "neighbour ADDRESS"}},
        DamageCase{"AddressRemoved",
                   "ip address delete 192.168.100.1/24 dev virbrweb",
                   on_bridge,
                   {"address 192.168.100.1 on virbrweb", "route to ADDRESS", "neighbour ADDRESS"}},
        DamageCase{"RouteRemoved", "ip route delete ADDRESS", on_bridge, {"route to ADDRESS"}},
        DamageCase{"RouteReplaced",
                   "ip route replace ADDRESS via 10.9.9.2",
                   on_route,
                   {"route to ADDRESS"}},
        DamageCase{"RouteBlackholed",
                   "ip route replace blackhole ADDRESS",
                   on_route,
                   {"route to ADDRESS"}},
        DamageCase{"ForwardingOffOnTheBridge",
                   "echo 0 >/proc/sys/net/ipv4/conf/virbrweb/forwarding",
                   on_bridge,
                   {"forwarding on virbrweb"}},
        DamageCase{"NeighbourRemoved",
                   "ip neighbour delete ADDRESS dev virbrweb",
                   on_bridge,
                   {"neighbour ADDRESS"}},
        DamageCase{"ForwardingOff", "echo 0 >/proc/sys/net/ipv4/ip_forward", no_forwarding, {}},
        DamageCase{"RulesetFlushed", "nft flush ruleset", in_firewall, {}},
        DamageCase{"TableDeleted", "nft delete table inet wso", in_firewall, {}},
        DamageCase{"ChainFlushed", "nft flush chain inet wso postrouting", in_firewall, {}},
        DamageCase{"RuleAdded", "nft insert rule inet wso forward drop", in_firewall, {}},
        DamageCase{"ChainAdded",
                   "nft 'add chain inet wso x { type filter hook forward priority -5; policy "
                   "drop; }'",
                   in_firewall,
                   {}},
        DamageCase{"ElementRemoved",
                   "nft 'delete element inet wso bridges { virbrweb }'",
                   in_firewall,
                   {}},
        DamageCase{
            "ElementAdded", "nft 'add element inet wso closed { virbrweb }'", in_firewall, {}},
        DamageCase{"SetsFlushed",
                   "nft 'flush set inet wso guests; flush set inet wso subnets'",
                   in_firewall,
                   {}}),
    [](const auto& tested) { return std::string(tested.param.name); });

// Within two seconds.
bool soon(const std::function<bool()>& holds) {
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(2);
  while (!holds())
    if (std::chrono::steady_clock::now() > deadline) return false;
  return true;
}

// Of these no notification tells that would not be heard all the time; the next mend() sees them.
TEST_F(NetworksTest, WhatIsNotNoticedIsMendedAllTheSame) {
  networks_.start({});
  const Cable guest(networks_.build(plan_), plan_);
  const Json before = state();
  const auto mended_after = [&](const std::string& command) {
    run(with_address(command, plan_));
    return fmt::format("{}", fmt::join(networks_.mend(plan_), ", "));
  };
  const std::string address = net::to_string(plan_.address);
  EXPECT_EQ(mended_after("ip neighbour replace ADDRESS lladdr 52:54:00:00:00:01 dev virbrweb"),
            "neighbour " + address);
  EXPECT_EQ(mended_after("ip link set virbrweb type bridge stp_state 0"),
            "spanning tree of virbrweb");
  EXPECT_EQ(mended_after("ip link set vnetweb alias other"), "alias of vnetweb");
  EXPECT_EQ(mended_after("echo 0 >/proc/sys/net/ipv6/conf/virbrweb/disable_ipv6"),
            "absence of IPv6 on virbrweb");
  EXPECT_EQ(mended_after("nft 'delete element inet wso bridges { virbrweb }'"),
            "firewall elements of web");
  EXPECT_EQ(state(), before);
}

TEST_F(NetworksTest, WhatWeDoOurselvesIsNotSeen) {
  networks_.start({});
  {
    const UniqueFd tap = networks_.build(plan_);
    networks_.mend(plan_);
    networks_.mend_firewall();
    networks_.destroy({plan_});
    EXPECT_EQ(seen(), Seen());
  }
  // The tap goes with QEMU, and that is for the caller to know.
  EXPECT_EQ(seen(), on_tap);
  networks_.start({});
  networks_.stop();
  EXPECT_EQ(seen(), Seen());
}

TEST_F(NetworksTest, OthersOnTheSameHostAreNotSeen) {
  networks_.start({});
  const UniqueFd tap = networks_.build(plan_);
  run("ip link add other type bridge && ip link set other up && ip address add 10.8.0.1/24 dev "
      "other && ip route add 10.7.0.0/16 via 10.8.0.2 && ip neighbour add 10.8.0.2 lladdr "
      "52:54:00:00:00:01 dev other && ip route delete 10.7.0.0/16 && ip link set other down && "
      "ip link delete other");
  run("nft 'add table inet wso2; add table ip wso; delete table inet wso2; delete table ip wso'");
  run("echo 0 >/proc/sys/net/ipv4/conf/eth0/forwarding");
  EXPECT_EQ(seen(), Seen());
}

TEST_F(NetworksTest, ADomainOfAnEarlierDaemonIsWatchedToo) {
  networks_.start({});
  const UniqueFd tap = networks_.build(plan_);
  domain::Networks next(settings_);
  EXPECT_TRUE(next.start({plan_}).empty());
  EXPECT_TRUE(next.link_watch().read().none());
  run("ip link set virbrweb down");
  EXPECT_EQ(next.link_watch().read(), on_bridge.damage);
}

TEST_F(NetworksTest, AfterAnOverrunAllIsWatchedStill) {
  networks_.start({});
  const auto buffer = [&](int bytes) {
    for (const int fd : {networks_.link_watch().fd(), networks_.firewall_watch().fd()})
      ASSERT_EQ(::setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &bytes, sizeof bytes), 0);
  };
  buffer(4096);
  run("for i in $(seq 500); do echo link set lo mtu $((60000 + i % 2)); done | ip -batch -");
  const UniqueFd tap = networks_.build(plan_);  // not heard, and nor is its carrier
  const auto is_up = [] {
    return run_json("ip -j link show virbrweb").at(0).at("operstate") == "UP";
  };
  EXPECT_TRUE(soon(is_up));
  run("for i in $(seq 500); do echo add table inet a; echo delete table inet a; done | nft -f -");
  const Seen lost = seen();
  EXPECT_TRUE(lost.damage.overrun);
  EXPECT_TRUE(lost.firewall);
  EXPECT_EQ(seen(), Seen());
  buffer(200'000);
  run("ip link set vnetweb nomaster");
  EXPECT_EQ(seen(), on_tap);
  run("ip link set lo mtu 65536");
}

std::string refusal_of(domain::Networks& networks, const domain::DomainPlan& plan) {
  try {
    networks.mend(plan);
    return "no error";
  } catch (const Error& error) {
    return error.what();
  }
}

TEST_F(NetworksTest, WhatCannotBeMendedIsNamed) {
  networks_.start({});
  UniqueFd tap = networks_.build(plan_);
  run("ip link delete virbrweb && ip link add virbrweb type bridge");
  EXPECT_EQ(refusal_of(networks_, plan_),
            "domain web: the link virbrweb is not the bridge that wso made: remove or rename it");
  EXPECT_EQ(run_json("ip -j link show virbrweb").at(0).at("group"), "default");
  run("ip link delete virbrweb");
  EXPECT_EQ(networks_.mend(plan_), std::vector<std::string>{"bridge virbrweb"});
  tap.reset();
  EXPECT_EQ(
      refusal_of(networks_, plan_),
      "domain web: its tap vnetweb is gone, or is not the one that wso made: restart the domain");
  networks_.destroy({plan_});
  EXPECT_THROW(networks_.mend(plan_), Error);
  EXPECT_EQ(run("ip link show group 0x77736f"), "");
}

TEST_F(NetworksTest, LinksThatSomebodyHasTakenOutOfTheirGroupAreOursStill) {
  networks_.start({});
  const UniqueFd tap = networks_.build(plan_);
  run("ip link set vnetweb group default && ip link set virbrweb group default");
  EXPECT_EQ(networks_.mend(plan_),
            (std::vector<std::string>{"group of vnetweb", "group of virbrweb"}));
  EXPECT_TRUE(networks_.mend(plan_).empty());
  run("ip link set virbrweb group default");
  networks_.destroy({plan_});
  EXPECT_EQ(run("ip link show type bridge"), "");
}

TEST_F(NetworksTest, NothingIsMendedUntoldWhileTheTableIsAway) {
  networks_.start({});
  const UniqueFd tap = networks_.build(plan_);
  run("ip link delete virbrweb && nft delete table inet wso");
  EXPECT_THROW(networks_.mend(plan_), Error);
  networks_.mend_firewall();
  EXPECT_EQ(networks_.mend(plan_), std::vector<std::string>{"bridge virbrweb"});
}

// The table away for a third of a second, with the download at full speed all the while.
TEST_F(NetworksTest, TheGuardKeepsFlowsAlive) {
  networks_.claim();
  networks_.start({});
  const Cable guest(networks_.build(plan_), plan_);
  const Flow download(guest, uplink_);
  ASSERT_TRUE(download.goes_on());
  const Sniffer outside = uplink_.ns.inside([] { return Sniffer(); });
  run("nft flush ruleset");
  const auto until = std::chrono::steady_clock::now() + std::chrono::milliseconds(300);
  int rounds = 0;
  for (; std::chrono::steady_clock::now() < until; ++rounds) ASSERT_TRUE(download.goes_on());
  EXPECT_GT(rounds, 300);
  networks_.mend_firewall();
  EXPECT_TRUE(download.goes_on());
}

// Connection tracking would remember it as one that needs no translation.
TEST_F(NetworksTest, AFlowThatBeginsWithoutTheTableIsTranslatedOnceItIsBack) {
  networks_.claim();
  networks_.start({});
  const Cable guest(networks_.build(plan_), plan_);
  const UniqueFd server = uplink_.ns.inside([] { return udp_socket({"10.9.9.2", 7000}); });
  Sniffer outside = uplink_.ns.inside([] { return Sniffer(); });
  const UniqueFd udp = guest.ns.inside([] { return udp_socket({"0.0.0.0", 0}); });
  run("nft flush ruleset");
  send_to(udp.get(), {"10.9.9.2", 7000}, "early");
  const auto dropped = [] {
    return run("nft list chain inet wso-guard from_guest").find("packets 0") == std::string::npos;
  };
  EXPECT_TRUE(soon(dropped));
  networks_.mend_firewall();
  send_to(udp.get(), {"10.9.9.2", 7000}, "late");
  const Received received = receive(server.get());
  EXPECT_EQ(received.bytes, "late");
  EXPECT_EQ(received.sender.address, "10.9.9.1");
  for (const std::string& source : outside.sources()) EXPECT_EQ(source, "10.9.9.1");
}

TEST_F(NetworksTest, NobodyElseRemovesTheGuardAndItGoesWithItsOwner) {
  {
    domain::Networks first(settings_);
    EXPECT_TRUE(first.claim());
    EXPECT_TRUE(first.claim());
    first.start({});
    EXPECT_THROW(run("nft delete table inet wso-guard"), Error);
    run("nft flush ruleset");
    EXPECT_EQ(run("nft list tables"), "table inet wso-guard\n");
    EXPECT_FALSE(networks_.claim());
  }
  EXPECT_EQ(run("nft list tables"), "");
  EXPECT_TRUE(networks_.claim());
  networks_.stop();
  EXPECT_EQ(run("nft list tables"), "");
}

TEST_F(NetworksTest, AGuestThatNoRecordNamesKeepsItsNetwork) {
  const domain::DomainPlan other = plan_for("db");
  settings_.guest_to_host = false;
  networks_.start({});
  const Cable guest(networks_.build(plan_), plan_);
  const UniqueFd tap = networks_.build(other);
  run("ip link add stray group 0x77736f type bridge");  // of a QEMU that has gone
  const Flow download(guest, uplink_);
  const std::string before = run("nft -s list table inet wso");

  domain::Networks next(settings_);
  const std::vector<domain::KeptNetwork> kept = next.start({other});
  EXPECT_EQ(kept, (std::vector<domain::KeptNetwork>{{"virbrweb", plan_.address}}));
  EXPECT_EQ(run("nft -s list table inet wso"), before);
  EXPECT_THROW(run("ip link show stray"), Error);
  EXPECT_TRUE(download.goes_on());
  // Mending keeps it, too.
  run("nft flush ruleset");
  next.mend_firewall();
  EXPECT_EQ(run("nft -s list table inet wso"), before);
  EXPECT_TRUE(download.goes_on());
  EXPECT_TRUE(next.start({plan_, other}).empty());
  next.destroy({plan_, other});
}

TEST_F(NetworksTest, AGuestThatNobodyHasRulesForLosesItsBridge) {
  networks_.start({});
  const UniqueFd tap = networks_.build(plan_);
  run("nft flush ruleset");
  EXPECT_TRUE(networks_.start({}).empty());
  EXPECT_THROW(run("ip link show virbrweb"), Error);
  EXPECT_NO_THROW(run("ip link show vnetweb"));
}

}  // namespace
}  // namespace wso::test
