#include "control.hpp"

#include <algorithm>

#include <boost/asio/read_until.hpp>
#include <boost/asio/redirect_error.hpp>
#include <grp.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include <wso/api/rpc.hpp>
#include <wso/base/error.hpp>
#include <wso/base/log.hpp>
#include <wso/base/unix_socket.hpp>

#include "streams.hpp"

namespace wso::wsod {

namespace fs = std::filesystem;

namespace {

constexpr const char* group_name = "wso";
constexpr mode_t socket_mode = 0660;
constexpr milliseconds accept_pause{100};

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
  while (true) {
    auto accepted = co_await detail::outcome_of(acceptor_.async_accept(asio::use_awaitable));
    if (accepted.error) {
      if (as_error(accepted.error).code() == Errc::cancelled) co_return;
      // Out of descriptors, most likely: those who wait can wait until some are closed.
      log::error("accept a client: {}", describe(accepted.error));
      co_await pause_for(accept_pause);
      continue;
    }
    auto session = std::make_shared<Session>(accepted.get(), connections_);
    if (!may_connect(session->socket().native_handle())) {
      log::warn("a client that is neither root nor in group {} is refused", group_name);
      continue;
    }
    connections_.spawn("serve a client", serve_client(std::move(session)));
  }
}

Task<> Control::serve_client(std::shared_ptr<Session> session) {
  // Subscriptions end with their connection, and requests do not.
  TaskGroup subscriptions(acceptor_.get_executor());
  auto served = co_await detail::outcome_of(read_requests(session, subscriptions));
  co_await asio::this_coro::reset_cancellation_state(asio::disable_cancellation());
  subscriptions.cancel();
  co_await subscriptions.join();
  served.get();
}

Task<> Control::read_requests(std::shared_ptr<Session> session, TaskGroup& subscriptions) {
  std::string received;
  while (true) {
    auto buffer = asio::dynamic_buffer(received, api::message_limit);
    boost::system::error_code ec;
    const std::size_t size = co_await asio::async_read_until(
        session->socket(), buffer, '\n', asio::redirect_error(asio::use_awaitable, ec));
    if (ec == asio::error::not_found) {
      const api::RequestError too_long{
          api::invalid_request,
          fmt::format("a message is longer than {} bytes", api::message_limit), nullptr};
      session->send(api::format_error(too_long));
      co_return;
    }
    if (ec) break;
    const std::string line = received.substr(0, size - 1);
    received.erase(0, size);
    auto request = parse_line(*session, line);
    if (!request) continue;
    if (!acceptor_.is_open()) {
      refuse(*session, *request,
             Error(Errc::busy, "wsod is about to end: try again when it is back"));
    } else if (request->method == "events.subscribe") {
      subscribe(session, *request, subscriptions);
    } else if (is_raw_stream(request->method)) {
      const bool idle = session->n_unanswered == 0 && subscriptions.size() == 0;
      const bool raw = co_await become_raw(session, *std::move(request), idle, received);
      if (raw) co_return;
    } else {
      ++session->n_unanswered;
      requests_.spawn("answer a client", answer(session, *std::move(request)));
    }
  }
  // A client that has nothing more to ask may go on listening.
  if (subscriptions.size() > 0) co_await hang_up(session->socket());
}

void Control::subscribe(std::shared_ptr<Session> session, const api::Request& request,
                        TaskGroup& subscriptions) {
  try {
    if (subscriptions.size() > 0)
      throw Error(Errc::already_exists, "this connection has subscribed to the events already");
    const std::int64_t after = parse_subscription(context_, request.params);
    if (!request.id.is_null()) {
      const Json result = {{"next", context_.server.last_event() + 1}};
      session->send(api::format_result(request.id, result));
    }
    subscriptions.spawn("send events to a client", send_events(context_, session, after));
  } catch (const Error& error) {
    refuse(*session, request, error);
  }
}

// False if the request is refused, and the connection goes on as it was.
Task<bool> Control::become_raw(std::shared_ptr<Session> session, api::Request request, bool idle,
                               std::string received) {
  const auto open = [this, &request, idle]() -> Task<RawStream> {
    if (!idle)
      throw Error(Errc::busy, "{} takes the connection over: use one on which nothing else goes on",
                  request.method);
    return open_raw_stream(context_, request.method, request.params);
  };
  auto opened = co_await detail::outcome_of(detail::started(open));
  if (opened.error) {
    refuse(*session, request, as_error(opened.error));
    co_return false;
  }
  const RawStream stream = opened.get();
  if (!request.id.is_null()) session->send(api::format_result(request.id, Json::object()));
  co_await session->flushed();
  co_await stream(session->socket(), std::move(received));
  session->close();
  co_return true;
}

// nullopt if the line is no request, which the client is told.
std::optional<api::Request> Control::parse_line(Session& session, const std::string& line) {
  try {
    return api::parse_request(line);
  } catch (const api::RequestError& error) {
    session.send(api::format_error(error));
    return std::nullopt;
  }
}

void Control::refuse(Session& session, const api::Request& request, const Error& error) {
  log::info("{}: {}", request.method, error.what());
  // A notification is not answered: JSON-RPC 2.0, section 4.1.
  if (!request.id.is_null()) session.send(api::format_error(request.id, error));
}

Task<> Control::answer(std::shared_ptr<Session> session, api::Request request) {
  const auto start = [this, &request] { return call(context_, request.method, request.params); };
  auto answered = co_await detail::outcome_of(detail::started(start));
  --session->n_unanswered;
  try {
    const Json result = answered.get();
    if (!request.id.is_null()) session->send(api::format_result(request.id, result));
  } catch (api::RequestError& error) {
    error.id = request.id;
    if (!request.id.is_null()) session->send(api::format_error(error));
  } catch (...) {
    refuse(*session, request, as_error(std::current_exception()));
  }
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
