#include "tap_guest.hpp"

#include <algorithm>
#include <array>
#include <cstring>
#include <span>

#include <arpa/inet.h>
#include <linux/if_ether.h>
#include <netinet/ip.h>
#include <netinet/ip_icmp.h>
#include <poll.h>
#include <sys/socket.h>

#include <wso/base/error.hpp>
#include <wso/net/link.hpp>
#include <wso/net/route.hpp>
#include <wso/net/tap.hpp>

namespace wso::test {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using std::chrono::steady_clock;

const net::Ipv4Address gateway = net::parse_ipv4("192.168.100.1");

// Offsets in a frame as the tap gives it: first struct virtio_net_hdr, whose header is not C++.
constexpr std::size_t ethernet = 10;
constexpr std::size_t packet_at = ethernet + ETH_HLEN;
constexpr std::size_t arp_operation = packet_at + 7;
constexpr std::size_t arp_sender = packet_at + 8;
constexpr std::size_t arp_target = packet_at + 18;
constexpr std::size_t ip_source = packet_at + 12;
constexpr std::size_t ip_destination = packet_at + 16;
constexpr std::size_t icmp_type = packet_at + sizeof(iphdr);

std::array<std::uint8_t, 4> bytes_of(net::Ipv4Address address) {
  std::array<std::uint8_t, 4> bytes{};
  const std::uint32_t network_order = htonl(address.value);
  std::memcpy(bytes.data(), &network_order, sizeof network_order);
  return bytes;
}

UniqueFd icmp_socket() {
  UniqueFd fd(::socket(AF_INET, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, IPPROTO_ICMP));
  if (!fd) throw_errno("ICMP socket");
  return fd;
}

void send_echo_request(int fd, const sockaddr_in& to) {
  icmphdr request{};
  request.type = ICMP_ECHO;
  request.checksum = static_cast<std::uint16_t>(~htons(ICMP_ECHO << 8));
  ::sendto(fd, &request, sizeof request, 0, reinterpret_cast<const sockaddr*>(&to), sizeof to);
}

bool has_echo_reply(int fd, const sockaddr_in& from) {
  std::array<std::uint8_t, 1500> packet{};
  sockaddr_in source{};
  socklen_t size = sizeof source;
  while (::recvfrom(fd, packet.data(), packet.size(), 0, reinterpret_cast<sockaddr*>(&source),
                    &size) > 0)
    if (source.sin_addr.s_addr == from.sin_addr.s_addr && packet[sizeof(iphdr)] == ICMP_ECHOREPLY)
      return true;
  return false;
}

}  // namespace

TapGuest::TapGuest(nl_sock* socket, const std::string& id, const std::string& address)
    : address_(net::parse_ipv4(address)),
      mac_({0x52, 0x54, 0x00, 0x00, 0x00, static_cast<std::uint8_t>(address_.value)}),
      tap_(net::open_tap("vnet" + id)) {
  const int link = net::find_link(socket, "vnet" + id).value().index;
  net::MacAddress tap_mac = mac_;
  tap_mac.bytes[0] = 0xfe;
  net::set_mac(socket, link, tap_mac);
  net::set_group(socket, link, net::link_group);
  bridge_ = net::create_bridge(socket, "virbr" + id, tap_mac, net::link_group);
  net::enslave(socket, link, bridge_);
  net::add_gateway_address(socket, bridge_, gateway, 24);
  up_since_ = steady_clock::now();
  net::bring_up(socket, link);
  net::bring_up(socket, bridge_);
  net::add_host_route(socket, bridge_, address_, gateway);
  net::set_stp(socket, bridge_, true);
}

void TapGuest::answer() const {
  std::array<std::uint8_t, 2048> frame{};
  const ssize_t size = ::read(tap_.get(), frame.data(), frame.size());
  if (size < static_cast<ssize_t>(icmp_type)) return;
  std::fill_n(frame.begin(), ethernet, 0);  // no offload for what we send
  const auto ours = bytes_of(address_);
  const auto at = [&](std::size_t offset) { return frame.begin() + static_cast<long>(offset); };
  const auto asks_us = [&](std::size_t offset) {
    return std::equal(ours.begin(), ours.end(), at(offset));
  };
  const std::uint16_t protocol =
      static_cast<std::uint16_t>(frame[packet_at - 2] << 8 | frame[packet_at - 1]);
  if (protocol == ETH_P_ARP && frame[arp_operation] == 1 && asks_us(arp_target + 6)) {
    frame[arp_operation] = 2;
    std::swap_ranges(at(arp_sender), at(arp_target), at(arp_target));
    std::copy(mac_.bytes.begin(), mac_.bytes.end(), at(arp_sender));
  } else if (protocol == ETH_P_IP && frame[icmp_type] == ICMP_ECHO && asks_us(ip_destination)) {
    std::swap_ranges(at(ip_source), at(ip_destination), at(ip_destination));
    frame[icmp_type] = ICMP_ECHOREPLY;
    frame[icmp_type + 2] = frame[icmp_type + 3] = 0xff;  // the checksum of an all-zero reply
  } else {
    return;
  }
  std::copy_n(at(ethernet + ETH_ALEN), ETH_ALEN, at(ethernet));
  std::copy(mac_.bytes.begin(), mac_.bytes.end(), at(ethernet + ETH_ALEN));
  if (::write(tap_.get(), frame.data(), static_cast<std::size_t>(size)) != size)
    throw_errno("write to the tap");
}

std::optional<steady_clock::time_point> ping(const std::string& address,
                                             const std::vector<const TapGuest*>& guests) {
  const UniqueFd icmp = icmp_socket();
  sockaddr_in target{};
  target.sin_family = AF_INET;
  target.sin_addr.s_addr = htonl(net::parse_ipv4(address).value);
  std::vector<pollfd> polled{{icmp.get(), POLLIN, 0}};
  for (const TapGuest* guest : guests) polled.push_back({guest->tap(), POLLIN, 0});
  const auto deadline = steady_clock::now() + seconds(2);
  auto resend_at = steady_clock::now();
  while (steady_clock::now() < deadline) {
    // Again and again, as the first is lost if the bridge has no carrier yet.
    if (steady_clock::now() >= resend_at) {
      send_echo_request(icmp.get(), target);
      resend_at = steady_clock::now() + milliseconds(2);
    }
    if (::poll(polled.data(), polled.size(), 2) <= 0) continue;
    for (std::size_t i = 0; i < guests.size(); ++i)
      if ((polled[i + 1].revents & POLLIN) != 0) guests[i]->answer();
    if (has_echo_reply(icmp.get(), target)) return steady_clock::now();
  }
  return std::nullopt;
}

}  // namespace wso::test
