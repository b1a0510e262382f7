// A blocking client of the control socket: what wsoctl and other programs use to talk to wsod.
#pragma once

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>

#include <wso/api/rpc.hpp>
#include <wso/base/json.hpp>
#include <wso/base/unique_fd.hpp>

namespace wso {

class Client {
 public:
  // Throws Errc::disconnected if no daemon answers there and Errc::permission if this user may not
  // ask it, naming the socket and what to do.
  explicit Client(const std::filesystem::path& socket_path);

  // Sends the request; its answer is awaited by wait(), before the next request is sent.
  void send(std::string_view method, const Json& params);
  // The result, or nullopt if none has come within `limit`; call again to go on waiting. The error
  // that the daemon answers with is thrown with its own code.
  std::optional<Json> wait(std::chrono::milliseconds limit);

  // The result, however long the daemon needs.
  Json wait();

  // send() and wait().
  Json call(std::string_view method, const Json& params = Json::object());

  // The next message that the daemon sends unasked, after events.subscribe; however long that
  // takes. Throws Errc::disconnected when the daemon ends.
  api::Request next_notification();

  // The connection after the result of a method that makes it a stream of bytes, with those of them
  // that have been received already.
  struct RawStream {
    UniqueFd socket;
    std::string received;
  };
  RawStream release() &&;

 private:
  // The next line; nullopt if none has come until the deadline.
  std::optional<std::string> read_line(std::chrono::steady_clock::time_point deadline);

  UniqueFd socket_;
  std::uint64_t id_ = 0;
  std::string received_;
};

}  // namespace wso
