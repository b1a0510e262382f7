// A socket server for tests: one thread accepts, one serves each connection, an eventfd ends all.
#include "scripted_server.hpp"

#include <cstdlib>
#include <filesystem>

#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>

#include <wso/base/unix_socket.hpp>

namespace wso::test {

TemporaryDirectory::TemporaryDirectory() : path_("/tmp/wso-test-XXXXXX") {
  if (::mkdtemp(path_.data()) == nullptr) throw_errno("make a temporary directory");
}

TemporaryDirectory::~TemporaryDirectory() {
  std::error_code ignored;
  std::filesystem::remove_all(path_, ignored);
}

ScriptedServer::ScriptedServer(Script script)
    : script_(std::move(script)),
      listener_(listen_unix(path(), 0600)),
      stop_(::eventfd(0, EFD_CLOEXEC)),
      acceptor_(&ScriptedServer::accept_all, this) {}

ScriptedServer::~ScriptedServer() {
  ::eventfd_write(stop_.get(), 1);
  acceptor_.join();
  for (std::thread& session : sessions_) session.join();
}

std::vector<api::Request> ScriptedServer::requests() {
  const std::lock_guard lock(mutex_);
  return requests_;
}

bool ScriptedServer::wait_readable(int fd) const {
  pollfd entries[] = {{fd, POLLIN, 0}, {stop_.get(), POLLIN, 0}};
  while (::poll(entries, 2, -1) < 0 && errno == EINTR) {
  }
  return entries[1].revents == 0;
}

void ScriptedServer::accept_all() {
  while (wait_readable(listener_.get())) {
    const int connection = ::accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC);
    if (connection < 0) continue;
    connections_.emplace_back(connection);
    sessions_.emplace_back(&ScriptedServer::serve, this, connection);
  }
}

void ScriptedServer::serve(int connection) {
  std::string received;
  char buffer[4096];
  while (wait_readable(connection)) {
    const ssize_t n = ::recv(connection, buffer, sizeof buffer, 0);
    if (n <= 0) return;
    received.append(buffer, static_cast<std::size_t>(n));
    const std::size_t end = received.find('\n');
    if (end == std::string::npos) continue;
    const api::Request request = api::parse_request(received.substr(0, end));
    received.erase(0, end + 1);
    {
      const std::lock_guard lock(mutex_);
      requests_.push_back(request);
    }
    const std::string reply = script_(request);
    ::send(connection, reply.data(), reply.size(), MSG_NOSIGNAL);
    if (!reply.ends_with('\n')) {
      ::shutdown(connection, SHUT_RDWR);
      return;
    }
  }
}

}  // namespace wso::test
