#include <array>
#include <cstring>

#include <boost/asio/connect.hpp>
#include <boost/asio/ip/icmp.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/read.hpp>
#include <netinet/ip.h>
#include <netinet/ip_icmp.h>
#include <openssl/rand.h>

#include <wso/domain/probe.hpp>

namespace wso::domain {
namespace {

asio::ip::address_v4 asio_address(net::Ipv4Address address) {
  return asio::ip::address_v4(address.value);
}

// RFC 1071.
std::uint16_t internet_checksum(const icmphdr& header) {
  std::array<std::uint16_t, sizeof(icmphdr) / 2> words{};
  std::memcpy(words.data(), &header, sizeof header);
  std::uint32_t sum = 0;
  for (const std::uint16_t word : words) sum += word;
  sum = (sum & 0xffff) + (sum >> 16);
  sum += sum >> 16;
  return static_cast<std::uint16_t>(~sum);
}

icmphdr make_echo_request() {
  icmphdr header{};
  header.type = ICMP_ECHO;
  RAND_bytes(reinterpret_cast<unsigned char*>(&header.un.echo), sizeof header.un.echo);
  header.checksum = internet_checksum(header);
  return header;
}

// A raw socket sees every ICMP message of its peer, with the IP header before it.
bool is_reply(const char* packet, std::size_t size, const icmphdr& request) {
  iphdr ip{};
  icmphdr reply{};
  if (size < sizeof ip) return false;
  std::memcpy(&ip, packet, sizeof ip);
  const std::size_t offset = static_cast<std::size_t>(ip.ihl) * 4;
  if (size < offset + sizeof reply) return false;
  std::memcpy(&reply, packet + offset, sizeof reply);
  return reply.type == ICMP_ECHOREPLY && reply.un.echo.id == request.un.echo.id &&
         reply.un.echo.sequence == request.un.echo.sequence;
}

Task<> ping_once(net::Ipv4Address address) {
  asio::ip::icmp::socket socket(co_await asio::this_coro::executor, asio::ip::icmp::v4());
  const asio::ip::icmp::endpoint peer(asio_address(address), 0);
  socket.connect(peer);
  const icmphdr request = make_echo_request();
  co_await socket.async_send(asio::buffer(&request, sizeof request), asio::use_awaitable);
  std::array<char, 2048> packet{};
  std::size_t size = 0;
  do {
    size = co_await socket.async_receive(asio::buffer(packet), asio::use_awaitable);
  } while (!is_reply(packet.data(), size, request));
}

Task<asio::ip::tcp::socket> connect_tcp(net::Ipv4Address address, int port) {
  asio::ip::tcp::socket socket(co_await asio::this_coro::executor);
  const asio::ip::tcp::endpoint peer(asio_address(address), static_cast<std::uint16_t>(port));
  co_await socket.async_connect(peer, asio::use_awaitable);
  co_return socket;
}

Task<> reach_tcp(net::Ipv4Address address, int port) { co_await connect_tcp(address, port); }

Task<> greet_ssh(net::Ipv4Address address) {
  auto socket = co_await connect_tcp(address, 22);
  constexpr std::string_view greeting = "SSH-";
  std::string received(greeting.size(), '\0');
  co_await asio::async_read(socket, asio::buffer(received), asio::use_awaitable);
  if (received != greeting)
    throw Error(Errc::protocol, "port 22 of {} is no SSH server", net::to_string(address));
}

Task<bool> succeeds(milliseconds limit, Task<> attempt) {
  auto outcome = co_await detail::outcome_of(with_deadline("probe", limit, std::move(attempt)));
  co_return !outcome.error;
}

}  // namespace

Task<bool> answers_ping(net::Ipv4Address address, milliseconds limit) {
  return succeeds(limit, ping_once(address));
}

Task<bool> accepts_tcp(net::Ipv4Address address, int port, milliseconds limit) {
  return succeeds(limit, reach_tcp(address, port));
}

Task<bool> answers_ssh(net::Ipv4Address address, milliseconds limit) {
  return succeeds(limit, greet_ssh(address));
}

}  // namespace wso::domain
