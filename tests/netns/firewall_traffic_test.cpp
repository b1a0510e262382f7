// The firewall judged by packets: what passes, how it looks on the other side, how it is refused.
#include <algorithm>

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include <wso/nft/firewall.hpp>

#include "tap_guest.hpp"
#include "traffic.hpp"
#include "witness.hpp"

namespace wso::test {
namespace {

const Endpoint server{"10.9.9.2", 7000};
const std::string rejected_by_gateway = "icmp 3/3 from 192.168.100.1";
const std::string rejected_by_host = "icmp 3/3 from 10.9.9.1";

class TrafficTest : public NetnsTest {
 protected:
  TrafficTest()
      : tcp_server_(uplink_.ns.inside([] { return tcp_listener(server); })),
        udp_server_(uplink_.ns.inside([] { return udp_socket(server); })),
        sniffer_(uplink_.ns.inside([] { return Sniffer(); })) {
    firewall_.replace_table("192.168.100.0/24", {});
  }

  // Whatever a test does, only the host's own address may ever be seen outside.
  ~TrafficTest() override {
    for (const std::string& source : sniffer_.sources()) EXPECT_EQ(source, "10.9.9.1");
    firewall_.remove_table();
  }

  std::unique_ptr<Guest> add_guest(const std::string& id, const std::string& address,
                                   bool may_use_host = true) {
    auto guest = std::make_unique<Guest>(id, address, may_use_host);
    firewall_.add_guest(guest->rule);
    return guest;
  }

  static std::string connect_from(const Guest& guest, const Endpoint& target) {
    return guest.ns.inside([&] { return connect(tcp_client().get(), target); });
  }
  static std::string rejection_of(const Guest& guest, const Endpoint& target) {
    return guest.ns.inside([&] { return rejection(udp_socket({"0.0.0.0", 0}).get(), target); });
  }

  // True frames from the guest to the server pass, and the forged one before does not.
  void expect_dropped(const Guest& guest, const Frame& forged) {
    Frame honest{
        guest.rule.mac_address, guest.bridge_mac, {guest.rule.ip_address, 5000}, server, "honest"};
    guest.ns.inside([&] {
      send_frame(forged);
      send_frame(honest);
    });
    const Received received = receive(udp_server_.get());
    EXPECT_EQ(received.bytes, "honest");
    EXPECT_EQ(received.sender.address, "10.9.9.1");
  }

  Uplink uplink_;
  nft::Firewall firewall_;
  UniqueFd tcp_server_, udp_server_;
  Sniffer sniffer_;
};

TEST_F(TrafficTest, AGuestLeavesWithTheHostsAddressAndAnUnprivilegedPort) {
  const auto guest = add_guest("a", "192.168.100.7");
  for (const std::uint16_t port : {0, 700, 1023}) {
    const UniqueFd tcp = guest->ns.inside([&] { return tcp_client(port); });
    ASSERT_EQ(connect(tcp.get(), server), "connected");
    const Accepted accepted = accept(tcp_server_.get());
    EXPECT_EQ(accepted.peer.address, "10.9.9.1");
    EXPECT_GE(accepted.peer.port, 1024);
    EXPECT_TRUE(carries(tcp.get(), accepted.socket.get(), "request"));
    EXPECT_TRUE(carries(accepted.socket.get(), tcp.get(), "answer"));

    const UniqueFd udp = guest->ns.inside([&] { return udp_socket({"0.0.0.0", port}); });
    send_to(udp.get(), server, "request");
    const Received received = receive(udp_server_.get());
    EXPECT_EQ(received.bytes, "request");
    EXPECT_EQ(received.sender.address, "10.9.9.1");
    EXPECT_GE(received.sender.port, 1024);
    send_to(udp_server_.get(), received.sender, "answer");
    EXPECT_EQ(receive(udp.get()).bytes, "answer");
  }
  EXPECT_TRUE(guest->ns.inside([] { return ping(server.address); }));
}

TEST_F(TrafficTest, WhatTheHostItselfSendsIsNotTranslated) {
  const auto guest = add_guest("a", "192.168.100.7");
  const UniqueFd udp = udp_socket({"10.9.9.1", 700});
  send_to(udp.get(), server, "request");
  EXPECT_EQ(receive(udp_server_.get()).sender, (Endpoint{"10.9.9.1", 700}));
}

TEST_F(TrafficTest, FragmentsAndIcmpErrorsBelongToTheirFlow) {
  const auto guest = add_guest("a", "192.168.100.7");
  const UniqueFd udp = guest->ns.inside([] { return udp_socket({"0.0.0.0", 0}); });
  const std::string large(8000, 'x');
  send_to(udp.get(), server, large);
  const Received received = receive(udp_server_.get());
  EXPECT_EQ(received.bytes, large);
  send_to(udp_server_.get(), received.sender, large);
  EXPECT_EQ(receive(udp.get()).bytes, large);
  EXPECT_EQ(rejection_of(*guest, {"10.9.9.2", 7001}), "icmp 3/3 from 10.9.9.2");
}

TEST_F(TrafficTest, BroadcastAndMulticastReachTheHostWithTheGuestsAddress) {
  const auto guest = add_guest("a", "192.168.100.7");
  const UniqueFd listener = udp_socket({"0.0.0.0", 5353});
  ip_mreqn membership{};
  membership.imr_multiaddr.s_addr = htonl(0xe00000fb);
  membership.imr_address.s_addr = htonl(0xc0a86401);
  ASSERT_EQ(::setsockopt(listener.get(), SOL_IP, IP_ADD_MEMBERSHIP, &membership, sizeof membership),
            0);
  for (const auto* target : {"255.255.255.255", "192.168.100.255", "224.0.0.251"}) {
    const UniqueFd udp = guest->ns.inside([] { return udp_socket({"192.168.100.7", 0}); });
    send_to(udp.get(), {target, 5353}, target);
    const Received received = receive(listener.get());
    EXPECT_EQ(received.bytes, target);
    EXPECT_EQ(received.sender.address, "192.168.100.7");
  }
}

TEST_F(TrafficTest, TheOutsideOpensNothingToAGuest) {
  const auto guest = add_guest("a", "192.168.100.7");
  const UniqueFd tcp = guest->ns.inside([] { return tcp_listener({"0.0.0.0", 80}); });
  const UniqueFd udp = guest->ns.inside([] { return udp_socket({"0.0.0.0", 80}); });
  uplink_.ns.inside([] {
    EXPECT_EQ(connect(tcp_client().get(), {"192.168.100.7", 80}), rejected_by_host);
    EXPECT_EQ(rejection(udp_socket({"0.0.0.0", 0}).get(), {"192.168.100.7", 80}), rejected_by_host);
  });
}

TEST_F(TrafficTest, TheHostReachesEveryGuest) {
  for (const bool may_use_host : {true, false}) {
    const auto guest = add_guest("a", "192.168.100.7", may_use_host);
    const UniqueFd listener = guest->ns.inside([] { return tcp_listener({"0.0.0.0", 22}); });
    const UniqueFd client = tcp_client();
    EXPECT_EQ(connect(client.get(), {"192.168.100.7", 22}), "connected");
    const Accepted accepted = accept(listener.get());
    EXPECT_EQ(accepted.peer.address, "192.168.100.1");
    EXPECT_TRUE(carries(client.get(), accepted.socket.get(), "request"));
    EXPECT_TRUE(carries(accepted.socket.get(), client.get(), "answer"));
    EXPECT_TRUE(ping("192.168.100.7"));
    firewall_.remove_guest(guest->rule);
  }
}

TEST_F(TrafficTest, GuestsDoNotReachEachOtherNorAFreeAddress) {
  const auto a = add_guest("a", "192.168.100.7");
  const auto b = add_guest("b", "192.168.100.8");
  const UniqueFd tcp = b->ns.inside([] { return tcp_listener({"0.0.0.0", 80}); });
  const UniqueFd udp = b->ns.inside([] { return udp_socket({"0.0.0.0", 80}); });

  // By ARP, which nobody answers. Asking once suffices to know.
  a->ns.inside([] {
    run("echo 1 >/proc/sys/net/ipv4/neigh/eth0/mcast_solicit && "
        "echo 20 >/proc/sys/net/ipv4/neigh/eth0/retrans_time_ms");
  });
  EXPECT_EQ(connect_from(*a, {"192.168.100.8", 80}), "icmp 3/1 from 192.168.100.7");
  // By a route through the gateway.
  a->ns.inside([] {
    run("ip route add 192.168.100.8 via 192.168.100.1 && ip route add 192.168.100.77 via "
        "192.168.100.1");
  });
  for (const auto* target : {"192.168.100.8", "192.168.100.77"}) {
    EXPECT_EQ(connect_from(*a, {target, 80}), rejected_by_gateway) << target;
    EXPECT_EQ(rejection_of(*a, {target, 80}), rejected_by_gateway) << target;
  }
  // Nor if their addresses are of an earlier subnet.
  firewall_.replace_table("10.7.0.0/16", {a->rule, b->rule});
  EXPECT_EQ(connect_from(*a, {"192.168.100.8", 80}), rejected_by_gateway);
  // Both reach the outside all the same.
  EXPECT_EQ(connect_from(*a, server), "connected");
  EXPECT_EQ(connect_from(*b, server), "connected");
}

TEST_F(TrafficTest, AGuestUsesTheServicesOfTheHostUnlessItsBridgeIsClosed) {
  const UniqueFd service = tcp_listener({"0.0.0.0", 7777});
  const UniqueFd dns_tcp = tcp_listener({"0.0.0.0", 53});
  const UniqueFd dns_udp = udp_socket({"0.0.0.0", 53});
  const UniqueFd dhcp = udp_socket({"0.0.0.0", 67});
  const auto open = add_guest("a", "192.168.100.7", true);
  const auto closed = add_guest("b", "192.168.100.8", false);
  for (const auto* address : {"192.168.100.1", "10.9.9.1"}) {
    EXPECT_EQ(connect_from(*open, {address, 7777}), "connected");
    EXPECT_EQ(connect_from(*closed, {address, 7777}), std::string("icmp 3/3 from ") + address);
    EXPECT_EQ(rejection_of(*closed, {address, 7777}), std::string("icmp 3/3 from ") + address);
  }
  for (const Guest* guest : {open.get(), closed.get()}) {
    EXPECT_EQ(connect_from(*guest, {"192.168.100.1", 53}), "connected");
    EXPECT_TRUE(guest->ns.inside([] { return ping("192.168.100.1"); }));
    for (const UniqueFd* listener : {&dns_udp, &dhcp}) {
      const std::uint16_t port = listener == &dhcp ? 67 : 53;
      guest->ns.inside([&] {
        send_to(udp_socket({"0.0.0.0", 0}).get(), {"192.168.100.1", port}, "ask");
      });
      EXPECT_EQ(receive(listener->get()).sender.address, guest->rule.ip_address);
    }
  }
}

TEST_F(TrafficTest, WhatSomebodyPublishesIsLetThrough) {
  const auto guest = add_guest("a", "192.168.100.7");
  const UniqueFd listener = guest->ns.inside([] { return tcp_listener({"0.0.0.0", 80}); });
  run("nft 'table ip publish { chain prerouting { type nat hook prerouting priority dstnat; "
      "iifname eth0 tcp dport 8080 dnat to 192.168.100.7:80; }\n}'");
  const UniqueFd client = uplink_.ns.inside([] { return tcp_client(); });
  EXPECT_EQ(connect(client.get(), {"10.9.9.1", 8080}), "connected");
  const Accepted accepted = accept(listener.get());
  EXPECT_EQ(accepted.peer.address, "10.9.9.2");
  EXPECT_TRUE(carries(accepted.socket.get(), client.get(), "answer"));
  run("nft delete table ip publish");
}

TEST_F(TrafficTest, AFlowSurvivesOtherDomainsAndTheReplacementOfTheTable) {
  const auto guest = add_guest("a", "192.168.100.7");
  const UniqueFd client = guest->ns.inside([] { return tcp_client(); });
  ASSERT_EQ(connect(client.get(), server), "connected");
  const Accepted accepted = accept(tcp_server_.get());
  const auto flows = [&] {
    return carries(client.get(), accepted.socket.get(), "request") &&
           carries(accepted.socket.get(), client.get(), "answer");
  };
  EXPECT_TRUE(flows());
  {
    const auto other = add_guest("b", "192.168.100.8");
    EXPECT_TRUE(flows());
    EXPECT_TRUE(firewall_.remove_guest(other->rule));
  }
  EXPECT_TRUE(flows());
  firewall_.replace_table("192.168.100.0/24", {guest->rule});
  EXPECT_TRUE(flows());
}

TEST_F(TrafficTest, AForgedSourceGetsNothingOut) {
  const auto guest = add_guest("a", "192.168.100.7");
  const auto victim = add_guest("b", "192.168.100.8");
  const Frame honest{
      guest->rule.mac_address, guest->bridge_mac, {"192.168.100.7", 5000}, server, "forged"};
  for (const auto* address : {"192.168.100.8", "192.168.100.77", "192.168.100.1", "10.9.9.1",
                              "10.9.9.2", "0.0.0.0", "127.0.0.1", "8.8.8.8"}) {
    Frame forged = honest;
    forged.source.address = address;
    expect_dropped(*guest, forged);
    forged.vlan_id = 0;  // a priority tag: the kernel takes it for no tag
    expect_dropped(*guest, forged);
    forged.fragment = 8;
    expect_dropped(*guest, forged);
  }
  Frame forged = honest;
  forged.source_mac = "52:54:00:aa:aa:aa";
  expect_dropped(*guest, forged);
  forged.source_mac = victim->rule.mac_address;
  forged.source.address = victim->rule.ip_address;  // a pair that is right on another bridge
  expect_dropped(*guest, forged);
  forged = honest;
  forged.vlan_id = 5;
  expect_dropped(*guest, forged);
}

TEST_F(TrafficTest, AForgedSourceDoesNotReachTheHostEither) {
  const auto guest = add_guest("a", "192.168.100.7");
  const UniqueFd listener = udp_socket({"0.0.0.0", 7777});
  Frame frame{guest->rule.mac_address,
              guest->bridge_mac,
              {"192.168.100.8", 5000},
              {"192.168.100.1", 7777},
              "forged"};
  guest->ns.inside([&] { send_frame(frame); });
  frame.source_mac = "52:54:00:aa:aa:aa";
  frame.source.address = "192.168.100.7";
  guest->ns.inside([&] { send_frame(frame); });
  frame.source_mac = guest->rule.mac_address;
  frame.bytes = "honest";
  frame.fragment = 8;  // and so do true fragments pass, and true frames with a priority tag
  frame.vlan_id = 0;
  guest->ns.inside([&] { send_frame(frame); });
  EXPECT_EQ(receive(listener.get()).bytes, "honest");
}

TEST_F(TrafficTest, AGuestWithoutAnAddressAsksByDhcpAndForNothingElse) {
  const UniqueFd dhcp = udp_socket({"0.0.0.0", 67});
  const UniqueFd other = udp_socket({"0.0.0.0", 69});
  for (const bool may_use_host : {true, false}) {
    const auto guest = add_guest("a", "192.168.100.7", may_use_host);
    Frame frame{guest->rule.mac_address,
                "ff:ff:ff:ff:ff:ff",
                {"0.0.0.0", 68},
                {"255.255.255.255", 69},
                "forged"};
    guest->ns.inside([&] { send_frame(frame); });
    frame.target.port = 67;
    frame.bytes = "discover";
    guest->ns.inside([&] { send_frame(frame); });
    EXPECT_EQ(receive(dhcp.get()).bytes, "discover");
    char byte = 0;
    EXPECT_EQ(::recv(other.get(), &byte, sizeof byte, MSG_DONTWAIT), -1);
    firewall_.remove_guest(guest->rule);
  }
}

TEST_F(TrafficTest, Ipv6OfAGuestIsDropped) {
  const auto guest = add_guest("a", "192.168.100.7");
  run("ip address add fd00::1/64 dev virbra nodad");
  guest->ns.inside([] { run("ip address add fd00::2/64 dev eth0 nodad"); });
  run("ip neighbour replace fd00::2 dev virbra lladdr " + guest->rule.mac_address);
  guest->ns.inside(
      [&] { run("ip neighbour replace fd00::1 dev eth0 lladdr " + guest->bridge_mac); });
  const UniqueFd listener(::socket(AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  sockaddr_in6 address{};
  address.sin6_family = AF_INET6;
  address.sin6_port = htons(7777);
  ASSERT_EQ(::bind(listener.get(), reinterpret_cast<sockaddr*>(&address), sizeof address), 0);

  address.sin6_addr.s6_addr[0] = 0xfd;
  address.sin6_addr.s6_addr[15] = 1;
  guest->ns.inside([&] {
    const UniqueFd six(::socket(AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0));
    EXPECT_EQ(
        ::sendto(six.get(), "six", 3, 0, reinterpret_cast<sockaddr*>(&address), sizeof address), 3);
    send_to(udp_socket({"0.0.0.0", 0}).get(), {"192.168.100.1", 7777}, "four");
  });
  EXPECT_EQ(receive(listener.get()).bytes, "four");
}

TEST_F(TrafficTest, WhatIsNotTrackedDoesNotLeaveUntranslated) {
  const auto guest = add_guest("a", "192.168.100.7");
  // A reset without a connection: invalid.
  guest->ns.inside([] {
    const UniqueFd raw(::socket(AF_INET, SOCK_RAW | SOCK_CLOEXEC, IPPROTO_TCP));
    tcphdr reset{};
    reset.source = htons(1234);
    reset.dest = htons(server.port);
    reset.doff = 5;
    reset.rst = 1;
    send_to(raw.get(), server, {reinterpret_cast<const char*>(&reset), sizeof reset});
  });
  run("nft 'table ip other { chain prerouting { type filter hook prerouting priority raw; "
      "udp sport 4444 notrack; }\n}'");
  guest->ns.inside([] { send_to(udp_socket({"0.0.0.0", 4444}).get(), server, "untracked"); });
  guest->ns.inside([] { send_to(udp_socket({"0.0.0.0", 0}).get(), server, "tracked"); });
  EXPECT_EQ(receive(udp_server_.get()).bytes, "tracked");
  run("nft delete table ip other");  // the fixture asserts what was seen outside
}

}  // namespace
}  // namespace wso::test
