// The control socket: who may talk to the daemon, and each connection's lines in and out.
#pragma once

#include <filesystem>
#include <optional>

#include <boost/asio/local/stream_protocol.hpp>
#include <sys/types.h>

#include <wso/api/rpc.hpp>
#include <wso/base/file.hpp>
#include <wso/base/task.hpp>

#include "methods.hpp"
#include "session.hpp"

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
  [[nodiscard]] bool may_connect(int socket) const;
  Task<> serve_client(std::shared_ptr<Session> session);
  Task<> read_requests(std::shared_ptr<Session> session, TaskGroup& subscriptions);
  void subscribe(std::shared_ptr<Session> session, const api::Request& request,
                 TaskGroup& subscriptions);
  Task<bool> become_raw(std::shared_ptr<Session> session, api::Request request, bool idle,
                        std::string received);
  Task<> answer(std::shared_ptr<Session> session, api::Request request);
  static std::optional<api::Request> parse_line(Session& session, const std::string& line);
  static void refuse(Session& session, const api::Request& request, const Error& error);

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
