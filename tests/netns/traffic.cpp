#include "traffic.hpp"

#include <array>
#include <cstring>

#include <arpa/inet.h>
#include <fcntl.h>
#include <linux/errqueue.h>
#include <linux/if_packet.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <netinet/ip.h>
#include <netinet/ip_icmp.h>
#include <netinet/tcp.h>
#include <netinet/udp.h>
#include <poll.h>
#include <sched.h>
#include <sys/socket.h>

#include <wso/base/error.hpp>
#include <wso/net/link.hpp>
#include <wso/net/route.hpp>
#include <wso/net/sysctl.hpp>

#include "witness.hpp"

namespace wso::test {
namespace {

constexpr int patience_ms = 2000;

int must(int result, const char* what) {
  if (result < 0) throw_errno(what);
  return result;
}

bool readable(int fd, int timeout_ms = patience_ms) {
  pollfd polled{fd, POLLIN, 0};
  return ::poll(&polled, 1, timeout_ms) == 1 && (polled.revents & POLLIN) != 0;
}

sockaddr_in socket_address(const Endpoint& endpoint) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(endpoint.port);
  address.sin_addr.s_addr = ::inet_addr(endpoint.address.c_str());
  return address;
}

Endpoint endpoint_of(const sockaddr_in& address) {
  return {::inet_ntoa(address.sin_addr), ntohs(address.sin_port)};
}

const sockaddr* generic(const sockaddr_in& address) {
  return reinterpret_cast<const sockaddr*>(&address);
}

void set_option(int fd, int level, int name, int value) {
  must(::setsockopt(fd, level, name, &value, sizeof value), "setsockopt");
}

UniqueFd open_socket(int type, const Endpoint& local) {
  UniqueFd fd(::socket(AF_INET, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  must(fd.get(), "socket");
  set_option(fd.get(), SOL_SOCKET, SO_REUSEADDR, 1);
  set_option(fd.get(), SOL_SOCKET, SO_BROADCAST, 1);
  set_option(fd.get(), SOL_IP, IP_RECVERR, 1);  // keeps the ICMP error, and who sent it
  const sockaddr_in address = socket_address(local);
  must(::bind(fd.get(), generic(address), sizeof address), "bind");
  return fd;
}

// The ICMP error in the socket's error queue, in words; empty if there is none.
std::string icmp_error(int fd) {
  std::array<char, 512> control{};
  std::array<char, 64> data{};
  iovec vector{data.data(), data.size()};
  msghdr message{};
  message.msg_iov = &vector;
  message.msg_iovlen = 1;
  message.msg_control = control.data();
  message.msg_controllen = control.size();
  if (::recvmsg(fd, &message, MSG_ERRQUEUE) < 0) return {};
  for (cmsghdr* c = CMSG_FIRSTHDR(&message); c != nullptr; c = CMSG_NXTHDR(&message, c)) {
    if (c->cmsg_level != SOL_IP || c->cmsg_type != IP_RECVERR) continue;
    auto* error = reinterpret_cast<sock_extended_err*>(CMSG_DATA(c));
    if (error->ee_origin != SO_EE_ORIGIN_ICMP) continue;
    const auto* offender = reinterpret_cast<const sockaddr_in*>(SO_EE_OFFENDER(error));
    return fmt::format("icmp {}/{} from {}", error->ee_type, error->ee_code,
                       endpoint_of(*offender).address);
  }
  return {};
}

std::uint16_t checksum(const void* data, std::size_t size) {
  const auto* words = static_cast<const std::uint16_t*>(data);
  std::uint32_t sum = 0;
  for (std::size_t i = 0; i < size / 2; ++i) sum += words[i];
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >> 16);
  return static_cast<std::uint16_t>(~sum);
}

template <typename Header>
void append(std::string& packet, const Header& header) {
  packet.append(reinterpret_cast<const char*>(&header), sizeof header);
}

std::string mac_bytes(const std::string& text) {
  const net::MacAddress mac = net::parse_mac(text);
  return {mac.bytes.begin(), mac.bytes.end()};
}

std::string link_header(const Frame& frame) {
  std::string header = mac_bytes(frame.target_mac) + mac_bytes(frame.source_mac);
  if (frame.vlan_id >= 0) {
    append(header, htons(ETHERTYPE_VLAN));
    append(header, htons(static_cast<std::uint16_t>(frame.vlan_id)));
  }
  append(header, htons(ETHERTYPE_IP));
  return header;
}

std::string ip_packet(const Frame& frame, const std::string& payload, std::size_t offset,
                      bool more_fragments) {
  iphdr ip{};
  ip.version = 4;
  ip.ihl = 5;
  ip.tot_len = htons(static_cast<std::uint16_t>(sizeof ip + payload.size()));
  ip.id = htons(4711);
  ip.frag_off = htons(static_cast<std::uint16_t>(offset / 8 | (more_fragments ? IP_MF : 0)));
  ip.ttl = 64;
  ip.protocol = IPPROTO_UDP;
  ip.saddr = ::inet_addr(frame.source.address.c_str());
  ip.daddr = ::inet_addr(frame.target.address.c_str());
  ip.check = checksum(&ip, sizeof ip);
  std::string packet;
  append(packet, ip);
  return packet + payload;
}

}  // namespace

Namespace::Namespace() {
  const UniqueFd home(::open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC));
  must(::unshare(CLONE_NEWNET), "unshare");
  fd_ = UniqueFd(::open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC));
  run("ip link set lo up");  // by which a kernel tells itself that a host is unreachable
  must(::setns(home.get(), CLONE_NEWNET), "setns");
}

std::string Namespace::path() const { return fmt::format("/proc/{}/fd/{}", ::getpid(), fd_.get()); }

Namespace::Visit::Visit(int target)
    : home_(::open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC)) {
  must(::setns(target, CLONE_NEWNET), "setns");
}

Namespace::Visit::~Visit() {
  if (::setns(home_.get(), CLONE_NEWNET) != 0) ::abort();
}

Uplink::Uplink() {
  net::set_sysctl("ipv4/ip_forward", "1");
  run("ip link add eth0 type veth peer name eth0 netns " + ns.path() +
      " && ip address add 10.9.9.1/24 dev eth0 && ip link set eth0 up");
  ns.inside([] {
    run("ip address add 10.9.9.2/24 dev eth0 && ip link set eth0 up && "
        "ip route add 192.168.100.0/24 via 10.9.9.1");
  });
  run("ip route add default via 10.9.9.2");
}

Uplink::~Uplink() {
  run("ip link delete eth0");
  net::set_sysctl("ipv4/ip_forward", "0");
}

Guest::Guest(const std::string& id, const std::string& address, bool may_use_host)
    : socket_(net::open_route_socket()) {
  const net::Ipv4Address ip = net::parse_ipv4(address);
  const net::MacAddress mac{{0x52, 0x54, 0, 0, 0, static_cast<std::uint8_t>(ip.value)}};
  net::MacAddress ours = mac;
  ours.bytes[0] = 0xfe;
  bridge_mac = to_string(ours);
  rule = {"virbr" + id, to_string(mac), address, may_use_host};

  run(fmt::format("ip link add port{} type veth peer name eth0 address {} netns {}", id,
                  rule.mac_address, ns.path()));
  nl_sock* socket = socket_.get();
  const int port = net::find_link(socket, "port" + id).value().index;
  bridge_ = net::create_bridge(socket, rule.bridge_name, ours, net::link_group);
  net::enslave(socket, port, bridge_);
  net::add_gateway_address(socket, bridge_, net::parse_ipv4("192.168.100.1"), 24);
  net::bring_up(socket, port);
  net::bring_up(socket, bridge_);
  net::add_host_route(socket, bridge_, ip, net::parse_ipv4("192.168.100.1"));
  ns.inside([&] {
    run("ip address add " + address +
        "/24 dev eth0 && ip link set eth0 up && ip route add default via 192.168.100.1");
  });
}

Guest::~Guest() {
  run("ip link delete port" + rule.bridge_name.substr(5));
  net::delete_link(socket_.get(), bridge_);
}

UniqueFd udp_socket(const Endpoint& local) { return open_socket(SOCK_DGRAM, local); }

UniqueFd tcp_listener(const Endpoint& local) {
  UniqueFd fd = open_socket(SOCK_STREAM, local);
  must(::listen(fd.get(), 8), "listen");
  return fd;
}

UniqueFd tcp_client(std::uint16_t source_port) {
  return open_socket(SOCK_STREAM, {"0.0.0.0", source_port});
}

std::string connect(int client, const Endpoint& target) {
  const sockaddr_in address = socket_address(target);
  if (::connect(client, generic(address), sizeof address) != 0 && errno != EINPROGRESS)
    return ::strerrordesc_np(errno);
  pollfd polled{client, POLLOUT, 0};
  if (::poll(&polled, 1, patience_ms) != 1) return "no answer";
  if (const std::string error = icmp_error(client); !error.empty()) return error;
  int error_number = 0;
  socklen_t size = sizeof error_number;
  ::getsockopt(client, SOL_SOCKET, SO_ERROR, &error_number, &size);
  if (error_number == ECONNREFUSED) return "refused by TCP";
  return error_number == 0 ? "connected" : ::strerrordesc_np(error_number);
}

Accepted accept(int listener) {
  sockaddr_in peer{};
  socklen_t size = sizeof peer;
  if (!readable(listener)) return {};
  UniqueFd fd(::accept4(listener, reinterpret_cast<sockaddr*>(&peer), &size, SOCK_CLOEXEC));
  return {std::move(fd), endpoint_of(peer)};
}

bool carries(int from, int to, const std::string& bytes) {
  if (::send(from, bytes.data(), bytes.size(), MSG_NOSIGNAL) < 0 || !readable(to)) return false;
  std::string got(bytes.size(), '\0');
  return ::recv(to, got.data(), got.size(), 0) > 0 && got == bytes;
}

std::string rejection(int client, const Endpoint& target) {
  send_to(client, target, "hello");
  pollfd polled{client, POLLIN, 0};
  if (::poll(&polled, 1, patience_ms) != 1) return "no answer";
  if (const std::string error = icmp_error(client); !error.empty()) return error;
  return "sent";
}

void send_to(int fd, const Endpoint& target, const std::string& bytes) {
  const sockaddr_in address = socket_address(target);
  ::sendto(fd, bytes.data(), bytes.size(), 0, generic(address), sizeof address);
}

Received receive(int fd) {
  std::string bytes(65536, '\0');
  sockaddr_in sender{};
  socklen_t size = sizeof sender;
  if (!readable(fd)) return {};
  const ssize_t got =
      ::recvfrom(fd, bytes.data(), bytes.size(), 0, reinterpret_cast<sockaddr*>(&sender), &size);
  bytes.resize(got > 0 ? static_cast<std::size_t>(got) : 0);
  return {bytes, endpoint_of(sender)};
}

void send_frame(const Frame& frame) {
  udphdr udp{};
  udp.source = htons(frame.source.port);
  udp.dest = htons(frame.target.port);
  udp.len = htons(static_cast<std::uint16_t>(sizeof udp + frame.bytes.size()));
  std::string payload;  // the UDP checksum stays 0: none
  append(payload, udp);
  payload += frame.bytes;

  const UniqueFd fd(::socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0));
  sockaddr_ll address{};
  address.sll_family = AF_PACKET;
  address.sll_ifindex = static_cast<int>(::if_nametoindex("eth0"));
  const std::size_t first = frame.fragment == 0 ? payload.size() : frame.fragment;
  for (std::size_t offset = 0; offset < payload.size(); offset += first) {
    const std::string part = payload.substr(offset, first);
    const bool more = offset + part.size() < payload.size();
    const std::string bytes = link_header(frame) + ip_packet(frame, part, offset, more);
    must(static_cast<int>(::sendto(fd.get(), bytes.data(), bytes.size(), 0,
                                   reinterpret_cast<sockaddr*>(&address), sizeof address)),
         "send a frame");
  }
}

Sniffer::Sniffer()
    : fd_(::socket(AF_PACKET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, htons(ETHERTYPE_IP))) {
  must(fd_.get(), "packet socket");
}

std::vector<std::string> Sniffer::sources() {
  std::vector<std::string> sources;
  iphdr ip{};
  sockaddr_ll from{};
  socklen_t size = sizeof from;
  while (::recvfrom(fd_.get(), &ip, sizeof ip, 0, reinterpret_cast<sockaddr*>(&from), &size) > 0) {
    if (from.sll_pkttype == PACKET_OUTGOING) continue;
    in_addr source{ip.saddr};
    sources.emplace_back(::inet_ntoa(source));
  }
  return sources;
}

}  // namespace wso::test
