// The control socket: who may talk to the daemon, and each connection's lines in and out.
#pragma once

#include <filesystem>
#include <optional>

#include <boost/asio/local/stream_protocol.hpp>
#include <sys/types.h>

#include <wso/base/file.hpp>
#include <wso/base/task.hpp>

#include "methods.hpp"

namespace wso::wsod {

class Control {
 public:
  // Listens. A live daemon on the path is Errc::busy; what a dead one left is taken over.
  Control(asio::any_io_executor executor, std::filesystem::path path, Context& context);
  Control(const Control&) = delete;
  Control& operator=(const Control&) = delete;
  // Takes the socket's name away.
  ~Control();

  // Accepts until cancelled.
  Task<> serve();

  // Closes to new connections, cancels what is under way (launches are undone) and waits for it.
  Task<> stop();

 private:
  struct Session;

  [[nodiscard]] bool may_connect(int socket) const;
  Task<> read_requests(std::shared_ptr<Session> session);
  Task<> answer(std::shared_ptr<Session> session, std::string line);

  std::filesystem::path path_;
  Context& context_;
  std::optional<gid_t> group_;
  FileIdentity identity_;
  asio::local::stream_protocol::acceptor acceptor_;
  TaskGroup connections_;
  // Requests belong to the daemon, not to their connection: a client that goes away stops nothing.
  TaskGroup requests_;
};

}  // namespace wso::wsod
