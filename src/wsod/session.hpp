// The connection of one client: what is sent to it, in order, however slowly it reads.
#pragma once

#include <deque>
#include <memory>
#include <string>

#include <boost/asio/local/stream_protocol.hpp>

#include <wso/base/task.hpp>

namespace wso::wsod {

using ClientSocket = asio::local::stream_protocol::socket;

class Session : public std::enable_shared_from_this<Session> {
 public:
  // `writers` holds the task that sends, and must outlive it.
  Session(ClientSocket connected, TaskGroup& writers);

  // Does not wait. A client that leaves too much unread is cut off.
  void send(std::string line);
  // Waits until all that was sent has been taken by the kernel, or the connection is broken.
  Task<> flushed();
  void close();

  ClientSocket& socket() { return socket_; }
  // Requests of this connection that are being answered.
  std::size_t n_unanswered = 0;

 private:
  static Task<> write(std::shared_ptr<Session> self);

  ClientSocket socket_;
  TaskGroup& writers_;
  std::deque<std::string> unsent_;
  std::size_t unsent_bytes_ = 0;
  bool writing_ = false;
  asio::steady_timer flushed_;  // cancelled to wake those who wait
};

// Waits until the client has closed its connection. One that has only ended its own side still
// listens.
Task<> hang_up(ClientSocket& socket);

}  // namespace wso::wsod
