// The blocking client of the control socket. SIGPIPE is never raised, and a server that hangs up,
// answers half or answers nonsense is an error, not a wait.
#include <algorithm>

#include <poll.h>
#include <sys/socket.h>

#include <wso/api/rpc.hpp>
#include <wso/base/unix_socket.hpp>
#include <wso/client.hpp>

namespace wso {
namespace {

using Clock = std::chrono::steady_clock;
using std::chrono::milliseconds;

// The state of every domain of a large host fits; a server that never ends its line does not.
constexpr std::size_t reply_limit = 64 * 1024 * 1024;
constexpr milliseconds longest_poll = std::chrono::hours(1);

bool hung_up(int error_number) { return error_number == EPIPE || error_number == ECONNRESET; }

[[noreturn]] void throw_no_daemon(const std::filesystem::path& path, int error_number) {
  switch (error_number) {
    case ENOENT:
    case ENOTDIR:
    case ECONNREFUSED:
      throw Error(Errc::disconnected,
                  "no wsod answers on {}: start it (wsod run) or name its socket with --socket",
                  path.native());
    case EACCES:
    case EPERM:
      throw Error(Errc::permission, "{} is not open to you: be root or a member of group wso",
                  path.native());
    default:
      throw_errno(fmt::format("connect to {}", path.native()), error_number);
  }
}

UniqueFd connect_daemon(const std::filesystem::path& path) {
  UniqueFd socket = connect_unix(path);
  if (!socket) throw_no_daemon(path, errno);
  return socket;
}

// False if nothing can be read before the deadline.
bool wait_readable(int fd, Clock::time_point deadline) {
  while (true) {
    const auto left = std::chrono::ceil<milliseconds>(deadline - Clock::now());
    const auto pause = std::clamp(left, milliseconds(0), longest_poll);
    pollfd entry{fd, POLLIN, 0};
    const int n_ready = ::poll(&entry, 1, static_cast<int>(pause.count()));
    if (n_ready > 0) return true;
    if (n_ready < 0 && errno != EINTR) throw_errno("wait for wsod");
    if (n_ready == 0 && left <= longest_poll) return false;
  }
}

// What could be read right now, appended; false if the server has hung up.
bool receive_some(int fd, std::string& received) {
  char buffer[64 * 1024];
  const ssize_t n = ::recv(fd, buffer, sizeof buffer, MSG_DONTWAIT);
  if (n > 0) received.append(buffer, static_cast<std::size_t>(n));
  if (n >= 0) return n > 0;
  if (hung_up(errno)) return false;
  if (errno != EAGAIN && errno != EINTR) throw_errno("receive from wsod");
  return true;
}

}  // namespace

Client::Client(const std::filesystem::path& socket_path) : socket_(connect_daemon(socket_path)) {}

void Client::send(std::string_view method, const Json& params) {
  api::Request request;
  request.id = ++id_;
  request.method = method;
  request.params = params;
  const std::string line = api::format_request(request);
  if (line.size() > api::message_limit)
    throw Error(Errc::invalid_argument, "{}: the request is larger than {} bytes", method,
                api::message_limit);
  std::string_view rest = line;
  while (!rest.empty()) {
    const ssize_t n = ::send(socket_.get(), rest.data(), rest.size(), MSG_NOSIGNAL);
    if (n >= 0) {
      rest.remove_prefix(static_cast<std::size_t>(n));
    } else if (hung_up(errno)) {
      return;  // The server may have said why: wait() reads that, or finds the end.
    } else if (errno != EINTR) {
      throw_errno("send to wsod");
    }
  }
}

std::optional<std::string> Client::read_line(Clock::time_point deadline) {
  std::size_t searched = 0;
  while (true) {
    const std::size_t end = received_.find('\n', searched);
    if (end != std::string::npos) {
      std::string line = received_.substr(0, end);
      received_.erase(0, end + 1);
      return line;
    }
    searched = received_.size();
    if (searched > reply_limit)
      throw Error(Errc::protocol, "wsod's answer is longer than {} bytes", reply_limit);
    if (!wait_readable(socket_.get(), deadline)) return std::nullopt;
    if (!receive_some(socket_.get(), received_))
      throw Error(Errc::disconnected, "wsod hung up {}: see its log, then 'wsoctl list'",
                  received_.empty() ? "without an answer" : "in the middle of its answer");
  }
}

std::optional<Json> Client::wait(milliseconds limit) {
  const auto line = read_line(Clock::now() + limit);
  if (!line) return std::nullopt;
  return api::parse_reply(*line, id_);
}

Json Client::wait() {
  while (true)
    if (auto result = wait(longest_poll)) return *std::move(result);
}

Json Client::call(std::string_view method, const Json& params) {
  send(method, params);
  return wait();
}

api::Request Client::next_notification() {
  while (true)
    if (const auto line = read_line(Clock::now() + longest_poll))
      return api::parse_notification(*line);
}

Client::RawStream Client::release() && { return {std::move(socket_), std::move(received_)}; }

}  // namespace wso
