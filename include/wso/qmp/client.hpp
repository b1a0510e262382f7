// The asynchronous QMP client of one domain. Lives on one executor; requests may overlap. When the
// connection ends, for whatever reason, all waiters fail once and the client is dead for good: who
// wants to talk again makes a new one.
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <string>

#include <boost/asio/local/stream_protocol.hpp>

#include <wso/base/task.hpp>
#include <wso/qmp/codec.hpp>

namespace wso::qmp {

// By command class: what only reads, and what changes devices or the run state.
inline constexpr milliseconds query_limit{1000};
inline constexpr milliseconds command_limit{30'000};

class Client {
 public:
  using EventHandler = std::function<void(const Event&)>;

  // Connects to the socket under the path, waits for the greeting and negotiates, all within
  // `limit`. `what` names the domain in errors, such as "QMP of web". Errc::disconnected if nothing
  // listens; Errc::timeout, or Errc::busy, if another client holds the monitor.
  static Task<std::shared_ptr<Client>> connect(std::string what, std::string socket_path,
                                               milliseconds limit);
  // The same on a socket that is connected already (tests: one end of a socketpair).
  static Task<std::shared_ptr<Client>> negotiate(std::string what,
                                                 asio::local::stream_protocol::socket socket,
                                                 milliseconds limit);

  // The `return` value. Errc::process if QEMU refuses (its own words in the sentence),
  // Errc::timeout, Errc::disconnected, Errc::protocol (QEMU sent garbage; the client is then dead),
  // Errc::busy (QEMU has left hundreds of requests unanswered). Waits on the caller's executor,
  // which must be the client's; outlives *this.
  Task<Json> execute(std::string command, Json arguments, milliseconds limit);
  Task<Json> query(std::string command);  // no arguments, query_limit

  // Called for each event, in order, on the executor. At most one handler, which must not own this
  // client; what it throws is logged. Events from before it is set are dropped: set it, then query.
  void on_event(EventHandler handler);

  [[nodiscard]] bool connected() const;
  // Waits for the end of the connection; all that QEMU sent before has been delivered by then.
  // Returns why it ended. Outlives *this.
  Task<std::string> closed();
  // Ends the connection; waiters fail with Errc::disconnected. Safe to call twice. When the last
  // shared_ptr goes, the connection ends too.
  void close();

  ~Client();

  struct State;
  // For connect() and negotiate() only.
  explicit Client(std::shared_ptr<State> state);

 private:
  std::shared_ptr<State> state_;  // shared with the reader task, which ends when the socket closes
};

}  // namespace wso::qmp
