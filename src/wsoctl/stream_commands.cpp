// wsoctl events, console, logs: what goes on until somebody ends it.
#include <array>
#include <csignal>

#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "commands.hpp"
#include "output.hpp"
#include "terminal.hpp"

namespace wso::wsoctl {
namespace {

constexpr char leave_key = 0x1d;  // Ctrl-]

using Chunk = std::array<char, 16 * 1024>;

// Every line is out when the next is waited for, so the program may end anywhere.
void end_well_on_interrupt() {
  struct sigaction action {};
  action.sa_handler = [](int /*signal*/) { ::_exit(done); };
  ::sigaction(SIGINT, &action, nullptr);
}

// What has come; empty at the end.
std::string_view read_some(int fd, Chunk& chunk) {
  while (true) {
    const ssize_t size = ::read(fd, chunk.data(), chunk.size());
    if (size >= 0) return {chunk.data(), static_cast<std::size_t>(size)};
    // A terminal that has hung up says EIO, a daemon that ends in the middle ECONNRESET.
    if (errno == EIO || errno == ECONNRESET) return {};
    if (errno != EINTR) throw_errno("read");
  }
}

// False if the daemon has hung up.
bool send_all(int socket, std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t size = ::send(socket, bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (size < 0 && errno != EINTR) return false;
    if (size > 0) bytes.remove_prefix(static_cast<std::size_t>(size));
  }
  return true;
}

enum class End { left, closed };

// Carries bytes between standard input and output and the console, until the console is closed or
// the user leaves.
End relay(const Client::RawStream& console, bool read_only, bool is_terminal) {
  Chunk chunk;
  print(console.received);
  std::array<pollfd, 2> waits{pollfd{console.socket.get(), POLLIN, 0},
                              pollfd{STDIN_FILENO, POLLIN, 0}};
  while (true) {
    if (::poll(waits.data(), waits.size(), -1) < 0 && errno != EINTR) throw_errno("poll");
    if (waits[0].revents != 0) {
      const std::string_view output = read_some(waits[0].fd, chunk);
      if (output.empty()) return End::closed;
      print(output);
    }
    if (waits[1].revents == 0) continue;
    std::string_view input = read_some(STDIN_FILENO, chunk);
    const std::size_t leave = is_terminal ? input.find(leave_key) : std::string_view::npos;
    if (leave != std::string_view::npos) input = input.substr(0, leave);
    if (!read_only && !send_all(console.socket.get(), input)) return End::closed;
    if (leave != std::string_view::npos) return End::left;
    if (!input.empty()) continue;
    // Nobody can leave by a key any more; who had no keys goes on looking.
    if (is_terminal) return End::left;
    waits[1].fd = -1;
    waits[1].revents = 0;
  }
}

}  // namespace

ExitStatus print_events(Session& session, std::optional<std::int64_t> since) {
  end_well_on_interrupt();
  Json params = Json::object();
  if (since) params["since"] = *since;
  session.client.call("events.subscribe", params);
  while (true) {
    api::Request message = session.client.next_notification();
    // As an event among the others, for those who read line by line.
    if (message.method == "missed") message.params["event"] = "missed";
    if (message.method == "missed" || message.method == "event") print_json(message.params);
  }
}

ExitStatus attach_console(Session& session, const std::string& domain_name, bool read_only) {
  session.client.call("domain.console", {{"domain_name", domain_name}, {"write", !read_only}});
  const Client::RawStream console = std::move(session.client).release();
  if (::isatty(STDIN_FILENO) == 1)
    print_note(fmt::format("the console of {}: Ctrl-] leaves", domain_name));
  End end = End::left;
  {
    const RawTerminal terminal;
    end = relay(console, read_only, terminal.is_terminal());
  }
  if (end == End::closed) print_note(fmt::format("the console of {} is closed", domain_name));
  return done;
}

ExitStatus print_logs(Session& session, const LogOptions& options) {
  Json params = {{"domain_name", options.domain_name},
                 {"source", options.qemu ? "qemu" : "console"},
                 {"follow", options.follow}};
  if (options.tail) params["tail"] = *options.tail;
  session.client.call("domain.logs", params);
  if (options.follow) end_well_on_interrupt();
  const Client::RawStream log = std::move(session.client).release();
  // As it is: a console's escape sequences are part of what it shows.
  print(log.received);
  Chunk chunk;
  while (true) {
    const std::string_view bytes = read_some(log.socket.get(), chunk);
    if (bytes.empty()) return done;
    print(bytes);
  }
}

}  // namespace wso::wsoctl
