// Probes of addresses that answer, refuse, lie or say nothing, in a network namespace of the test's
// own: nothing leaves it.
#include <algorithm>
#include <array>
#include <cstring>

#include <arpa/inet.h>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/write.hpp>
#include <fcntl.h>
#include <gtest/gtest.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <netinet/ip_icmp.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include <wso/base/unique_fd.hpp>
#include <wso/domain/probe.hpp>

#include "../base/loop.hpp"

namespace wso::domain {
namespace {

using asio::ip::tcp;

constexpr milliseconds ample{10'000};
constexpr milliseconds brief{50};
const net::Ipv4Address here = net::parse_ipv4("127.0.0.1");
const net::Ipv4Address nowhere = net::parse_ipv4("192.0.2.1");  // RFC 5737
const net::Ipv4Address silent = net::parse_ipv4("10.9.8.7");

class ProbeTest : public testing::Test {
 protected:
  void SetUp() override {
    ours_.reset(::open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC));
    ASSERT_EQ(::unshare(CLONE_NEWNET), 0);
    control_.reset(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
    set_up("lo");
  }

  void TearDown() override { ASSERT_EQ(::setns(ours_.get(), CLONE_NEWNET), 0); }

  void set_up(const char* link) const {
    ifreq request = request_for(link);
    request.ifr_flags = IFF_UP;
    ASSERT_EQ(::ioctl(control_.get(), SIOCSIFFLAGS, &request), 0);
  }

  // A link behind which nobody answers, with the network of `silent`.
  UniqueFd make_silent_link() const {
    UniqueFd tap(::open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC));
    ifreq request = request_for("silent");
    request.ifr_flags = IFF_TUN | IFF_NO_PI;
    EXPECT_EQ(::ioctl(tap.get(), TUNSETIFF, &request), 0);
    put_address(request, net::Ipv4Address{silent.value - 1});
    EXPECT_EQ(::ioctl(control_.get(), SIOCSIFADDR, &request), 0);
    put_address(request, silent);
    EXPECT_EQ(::ioctl(control_.get(), SIOCSIFDSTADDR, &request), 0);
    set_up("silent");
    return tap;
  }

  static void put_address(ifreq& request, net::Ipv4Address value) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(value.value);
    std::memcpy(&request.ifr_addr, &address, sizeof address);
  }

  static ifreq request_for(const char* link) {
    ifreq request{};
    std::strcpy(request.ifr_name, link);
    return request;
  }

  // What the SSH probe finds if a server on port 22 sends these pieces; `then_close`: and hangs up.
  bool finds_ssh(std::vector<std::string> pieces, bool then_close, milliseconds limit) {
    tcp::acceptor acceptor(loop_.io, tcp::endpoint(asio::ip::address_v4(here.value), 22));
    auto serving = loop_.start(serve(acceptor, std::move(pieces), then_close));
    const bool found = loop_.run(answers_ssh(here, limit));
    loop_.finish(serving);
    return found;
  }

  // Until the other side hangs up.
  static Task<> serve(tcp::acceptor& acceptor, std::vector<std::string> pieces, bool then_close) {
    tcp::socket client = co_await acceptor.async_accept(asio::use_awaitable);
    client.set_option(tcp::no_delay(true));
    for (const std::string& piece : pieces) {
      co_await asio::async_write(client, asio::buffer(piece), asio::use_awaitable);
      co_await wso::test::yield();
    }
    if (then_close) co_return;
    boost::system::error_code hung_up;
    std::array<char, 64> ignored{};
    while (!hung_up)
      co_await client.async_read_some(asio::buffer(ignored),
                                      asio::redirect_error(asio::use_awaitable, hung_up));
  }

  UniqueFd ours_;
  UniqueFd control_;
  wso::test::Loop loop_;
};

TEST_F(ProbeTest, PingIsAnswered) {
  EXPECT_TRUE(loop_.run(answers_ping(here, ample)));
  EXPECT_TRUE(loop_.run(answers_ping(net::parse_ipv4("127.1.2.3"), ample)));
}

TEST_F(ProbeTest, ManyPingsAtOnceTakeTheirOwnAnswers) {
  std::vector<std::future<bool>> pings;
  for (int i = 0; i < 50; ++i) pings.push_back(loop_.start(answers_ping(here, ample)));
  for (auto& ping : pings) EXPECT_TRUE(loop_.finish(ping));
}

TEST_F(ProbeTest, PingWithoutARouteFailsAtOnce) {
  const auto start = Clock::now();
  EXPECT_FALSE(loop_.run(answers_ping(nowhere, ample)));
  EXPECT_LT(Clock::now() - start, ample);
}

TEST_F(ProbeTest, PingWithoutAnAnswerEndsAtItsLimit) {
  const UniqueFd link = make_silent_link();
  const auto start = Clock::now();
  EXPECT_FALSE(loop_.run(answers_ping(silent, brief)));
  EXPECT_GE(Clock::now() - start, brief);
  EXPECT_LT(Clock::now() - start, ample);
}

TEST_F(ProbeTest, PingPassesOverTheAnswersToOthers) {
  const UniqueFd link = make_silent_link();
  auto ping = loop_.start(answers_ping(silent, ample));
  loop_.settle();
  constexpr std::size_t source = 12, destination = 16, type = 20, id = 24, sequence = 26, end = 28;
  std::array<char, 128> packet{};
  // Before it the kernel announces itself on the link, by IPv6.
  constexpr char ipv4 = 0x45;
  while (packet[0] != ipv4) ASSERT_GT(::read(link.get(), packet.data(), packet.size()), 0);
  std::swap_ranges(&packet[source], &packet[destination], &packet[destination]);
  const auto answer = [&](std::size_t changed, char difference) {
    packet[type] = ICMP_ECHOREPLY;
    packet[changed] = static_cast<char>(packet[changed] ^ difference);
    ASSERT_EQ(::write(link.get(), packet.data(), end), end);
    packet[changed] = static_cast<char>(packet[changed] ^ difference);
    loop_.settle();
  };
  // To other pings, or of another sort; and only then the one.
  answer(id, 1);
  answer(sequence + 1, 1);
  answer(type, ICMP_DEST_UNREACH);
  EXPECT_FALSE(wso::test::Loop::ready(ping));
  answer(type, 0);
  EXPECT_TRUE(loop_.finish(ping));
}

TEST_F(ProbeTest, SshIsWhatGreetsSo) {
  EXPECT_TRUE(finds_ssh({"SSH-2.0-dropbear_2022.83\r\n"}, false, ample));
  EXPECT_TRUE(finds_ssh({"SSH-"}, true, ample));
  EXPECT_TRUE(finds_ssh({"S", "S", "H", "-2.0-x\r\n"}, false, ample));
}

TEST_F(ProbeTest, OtherGreetingsAreNot) {
  for (const char* greeting : {"220 mail\r\n", "ssh-2.0-x\r\n", "HTTP/1.1 400\r\n", "SSH 2.0\r\n"})
    EXPECT_FALSE(finds_ssh({greeting}, false, ample)) << greeting;
  EXPECT_FALSE(finds_ssh({std::string(8, '\0')}, false, ample));
}

TEST_F(ProbeTest, AServerThatHangsUpIsNot) {
  EXPECT_FALSE(finds_ssh({}, true, ample));
  EXPECT_FALSE(finds_ssh({"SSH"}, true, ample));
}

TEST_F(ProbeTest, AServerThatSaysNothingIsWaitedForUntilTheLimit) {
  const auto start = Clock::now();
  EXPECT_FALSE(finds_ssh({}, false, brief));
  EXPECT_GE(Clock::now() - start, brief);
  EXPECT_FALSE(finds_ssh({"SSH"}, false, brief));
}

TEST_F(ProbeTest, ARefusedConnectionFailsAtOnce) {
  const auto start = Clock::now();
  EXPECT_FALSE(loop_.run(answers_ssh(here, ample)));
  EXPECT_FALSE(loop_.run(answers_ssh(nowhere, ample)));
  EXPECT_LT(Clock::now() - start, ample);
}

TEST_F(ProbeTest, AConnectionThatNobodyAnswersEndsAtItsLimit) {
  const UniqueFd link = make_silent_link();
  EXPECT_FALSE(loop_.run(answers_ssh(silent, brief)));
}

TEST_F(ProbeTest, AProbeCanBeCancelled) {
  const UniqueFd link = make_silent_link();
  for (const auto probe : {answers_ping, answers_ssh}) {
    asio::cancellation_signal signal;
    auto probing = loop_.start(probe(silent, ample), signal);
    loop_.settle();
    const auto start = Clock::now();
    signal.emit(asio::cancellation_type::terminal);
    EXPECT_FALSE(loop_.finish(probing));
    EXPECT_LT(Clock::now() - start, ample);
  }
}

}  // namespace
}  // namespace wso::domain
