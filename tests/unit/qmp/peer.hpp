// QEMU's end of a monitor, by script: one end of a socketpair, read and written step by step while
// the loop of the test runs the client on the other.
#pragma once

#include <array>
#include <memory>
#include <string>
#include <string_view>

#include <sys/socket.h>
#include <unistd.h>

#include <wso/base/json.hpp>
#include <wso/base/unique_fd.hpp>
#include <wso/qmp/client.hpp>

#include "../base/loop.hpp"

namespace wso::test {

class Peer {
 public:
  static constexpr std::string_view greeting =
      R"({"QMP": {"version": {"qemu": {"micro": 22, "minor": 2, "major": 7}, "package": ""}, )"
      R"("capabilities": []}})"
      "\r\n";

  explicit Peer(Loop& loop) : loop_(loop) {
    int ends[2] = {-1, -1};
    if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends) != 0)
      throw_errno("socketpair");
    end_.reset(ends[0]);
    other_.reset(ends[1]);
  }

  // The client's end, once.
  asio::local::stream_protocol::socket socket() {
    return {loop_.io, asio::local::stream_protocol(), other_.release()};
  }

  // As much as the socket takes, while the client takes nothing.
  std::size_t send_now(std::string_view bytes) {
    const auto sent = ::send(end_.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL);
    return sent < 0 ? 0 : static_cast<std::size_t>(sent);
  }

  // Runs the loop while the client is slow to take it; stops when the client has hung up.
  void say(std::string_view bytes) {
    loop_.until([this, &bytes] {
      for (;;) {
        const auto sent = ::send(end_.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL);
        const bool hung_up = sent < 0 && errno != EAGAIN;
        if (sent > 0) bytes.remove_prefix(static_cast<std::size_t>(sent));
        loop_.settle();
        if (hung_up || bytes.empty()) return true;
        if (sent < 0) return false;
      }
    });
  }

  void reply(std::uint64_t id, const Json& result) {
    say(dump_json({{"return", result}, {"id", id}}) + "\r\n");
  }

  void tell(std::string_view event) {
    const Json time{{"seconds", 1}, {"microseconds", 2}};
    say(dump_json({{"event", event}, {"timestamp", time}}) + "\r\n");
  }

  // The next request of the client.
  Json hear() {
    loop_.until([this] {
      take_all();
      return heard_.find('\n') != std::string::npos;
    });
    const auto end = heard_.find('\n') + 1;
    const Json request = parse_json(heard_.substr(0, end));
    heard_.erase(0, end);
    return request;
  }

  // True if the client has sent nothing more.
  bool silent() {
    take_all();
    return heard_.empty();
  }

  void wait_for_hang_up() {
    loop_.until([this] { return take_all(); });
  }

  void hang_up() { end_.reset(); }
  void stop_reading() { ::shutdown(end_.get(), SHUT_RD); }

 private:
  // Takes what comes while the loop has something to do; true at the end of the stream.
  bool take_all() {
    std::array<char, 65536> bytes;
    for (;;) {
      loop_.settle();
      const auto got = ::recv(end_.get(), bytes.data(), bytes.size(), 0);
      if (got == 0 || (got < 0 && errno != EAGAIN)) return true;
      if (got < 0) return false;
      heard_.append(bytes.data(), static_cast<std::size_t>(got));
    }
  }

  Loop& loop_;
  UniqueFd end_;
  UniqueFd other_;
  std::string heard_;
};

}  // namespace wso::test
