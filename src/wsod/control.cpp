#include "control.hpp"

#include <algorithm>
#include <deque>

#include <boost/asio/read_until.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/write.hpp>
#include <grp.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include <wso/api/rpc.hpp>
#include <wso/base/error.hpp>
#include <wso/base/log.hpp>
#include <wso/base/unix_socket.hpp>

namespace wso::wsod {

namespace fs = std::filesystem;

namespace {

constexpr const char* group_name = "wso";
constexpr mode_t socket_mode = 0660;
constexpr milliseconds accept_pause{100};
// A client that asks without reading the answers is cut off here.
constexpr std::size_t unread_limit = 16 * 1024 * 1024;

std::optional<gid_t> find_group() {
  const group* entry = ::getgrnam(group_name);
  return entry == nullptr ? std::nullopt : std::optional(entry->gr_gid);
}

FileIdentity identity_at(const fs::path& path) {
  struct stat status {};
  if (::lstat(path.c_str(), &status) != 0) throw_errno("stat " + path.native());
  return {status.st_dev, status.st_ino};
}

UniqueFd listen_alone(const fs::path& path, std::optional<gid_t> group) {
  make_directories(path.parent_path(), 0755);
  if (answers_unix(path))
    throw Error(Errc::busy, "a wsod answers on {} already: stop it, or choose another --socket",
                path.native());
  return listen_unix(path, socket_mode, group.value_or(0));
}

std::vector<gid_t> supplementary_groups(int socket) {
  std::vector<gid_t> groups(64);
  auto size = static_cast<socklen_t>(groups.size() * sizeof(gid_t));
  // SO_PEERGROUPS says ERANGE and the size it needs: socket(7).
  while (::getsockopt(socket, SOL_SOCKET, SO_PEERGROUPS, groups.data(), &size) != 0) {
    if (errno != ERANGE) return {};
    groups.resize(size / sizeof(gid_t));
  }
  groups.resize(size / sizeof(gid_t));
  return groups;
}

}  // namespace

struct Control::Session {
  explicit Session(asio::local::stream_protocol::socket connected) : socket(std::move(connected)) {}

  asio::local::stream_protocol::socket socket;
  std::deque<std::string> unsent;
  std::size_t unsent_bytes = 0;
  bool writing = false;

  void send(std::string line, TaskGroup& tasks, const std::shared_ptr<Session>& self) {
    unsent_bytes += line.size();
    unsent.push_back(std::move(line));
    if (unsent_bytes > unread_limit) {
      log::warn("a client does not read its answers, and is cut off");
      close();
    } else if (!writing) {
      writing = true;
      tasks.spawn("write to a client", write(self));
    }
  }

  void close() {
    boost::system::error_code ignored;
    socket.close(ignored);
    unsent.clear();
    unsent_bytes = 0;
  }

  static Task<> write(std::shared_ptr<Session> self) {
    while (!self->unsent.empty()) {
      const std::string line = std::move(self->unsent.front());
      self->unsent.pop_front();
      self->unsent_bytes -= line.size();
      auto sending = asio::async_write(self->socket, asio::buffer(line), asio::use_awaitable);
      const auto sent = co_await detail::outcome_of(std::move(sending));
      if (sent.error) self->close();
    }
    self->writing = false;
  }
};

Control::Control(asio::any_io_executor executor, fs::path path, Context& context)
    : path_(std::move(path)),
      context_(context),
      group_(find_group()),
      acceptor_(executor, asio::local::stream_protocol(), listen_alone(path_, group_).release()),
      connections_(executor),
      requests_(executor) {
  identity_ = identity_at(path_);
}

Control::~Control() {
  try {
    remove_if_same(path_, identity_);
  } catch (const Error& error) {
    log::error("{}", error.what());
  }
}

bool Control::may_connect(int socket) const {
  ucred peer{};
  socklen_t size = sizeof peer;
  if (::getsockopt(socket, SOL_SOCKET, SO_PEERCRED, &peer, &size) != 0) return false;
  if (peer.uid == 0) return true;
  if (!group_) return false;
  const auto groups = supplementary_groups(socket);
  return peer.gid == *group_ || std::find(groups.begin(), groups.end(), *group_) != groups.end();
}

Task<> Control::serve() {
  asio::steady_timer pause(acceptor_.get_executor());
  while (true) {
    auto accepted = co_await detail::outcome_of(acceptor_.async_accept(asio::use_awaitable));
    if (accepted.error) {
      if (as_error(accepted.error).code() == Errc::cancelled) co_return;
      // Out of descriptors, most likely: those who wait can wait until some are closed.
      log::error("accept a client: {}", describe(accepted.error));
      pause.expires_after(accept_pause);
      co_await pause.async_wait(asio::use_awaitable);
      continue;
    }
    auto session = std::make_shared<Session>(accepted.get());
    if (!may_connect(session->socket.native_handle())) {
      log::warn("a client that is neither root nor in group {} is refused", group_name);
      continue;
    }
    connections_.spawn("read from a client", read_requests(std::move(session)));
  }
}

Task<> Control::read_requests(std::shared_ptr<Session> session) {
  std::string received;
  while (true) {
    auto buffer = asio::dynamic_buffer(received, api::message_limit);
    boost::system::error_code ec;
    const std::size_t size = co_await asio::async_read_until(
        session->socket, buffer, '\n', asio::redirect_error(asio::use_awaitable, ec));
    if (ec == asio::error::not_found) {
      const api::RequestError too_long{
          api::invalid_request,
          fmt::format("a message is longer than {} bytes", api::message_limit), nullptr};
      session->send(api::format_error(too_long), connections_, session);
      co_return;
    }
    if (ec) co_return;
    requests_.spawn("answer a client", answer(session, received.substr(0, size - 1)));
    received.erase(0, size);
  }
}

Task<> Control::answer(std::shared_ptr<Session> session, std::string line) {
  std::string reply;
  api::Request request;
  try {
    request = api::parse_request(line);
    const Json result = co_await call(context_, request.method, std::move(request.params));
    reply = api::format_result(request.id, result);
  } catch (api::RequestError& error) {
    if (error.id.is_null()) error.id = request.id;
    reply = api::format_error(error);
  } catch (...) {
    const Error error = as_error(std::current_exception());
    log::info("{}: {}", request.method, error.what());
    reply = api::format_error(request.id, error);
  }
  // A notification is not answered: JSON-RPC 2.0, section 4.1.
  if (!request.id.is_null() || request.method.empty())
    session->send(std::move(reply), connections_, session);
}

Task<> Control::stop() {
  boost::system::error_code ignored;
  acceptor_.close(ignored);
  requests_.cancel();
  co_await requests_.join();
  // Their answers are on the way; whoever does not read them at once does without.
  connections_.cancel();
  co_await connections_.join();
}

}  // namespace wso::wsod
