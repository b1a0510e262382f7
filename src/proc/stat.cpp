#include "stat.hpp"

#include <charconv>
#include <string>
#include <string_view>

#include <fcntl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <wso/base/error.hpp>

namespace wso::proc {
namespace {

std::optional<std::string> read_stat_line(pid_t pid) {
  const std::string path = fmt::format("/proc/{}/stat", pid);
  const UniqueFd file(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  // ESRCH, of either call: it went between the look-up of its name and this.
  if (!file && (errno == ENOENT || errno == ESRCH)) return std::nullopt;
  if (!file) throw_errno(fmt::format("open {}", path));
  std::string line(4096, '\0');
  const ssize_t size = ::read(file.get(), line.data(), line.size());
  if (size < 0 && errno == ESRCH) return std::nullopt;
  if (size < 0) throw_errno(fmt::format("read {}", path));
  line.resize(static_cast<std::size_t>(size));
  return line;
}

}  // namespace

UniqueFd open_pidfd(pid_t pid) {
  // A pid that no process can have would address a whole group elsewhere.
  if (pid <= 0) return {};
  UniqueFd fd(static_cast<int>(::syscall(SYS_pidfd_open, pid, 0)));
  // EINVAL, ENOENT in newer kernels: the number is that of a thread, and so of no process.
  const bool none = errno == ESRCH || errno == EINVAL || errno == ENOENT;
  if (!fd && !none) throw_errno(fmt::format("open a pidfd of process {}", pid));
  return fd;
}

std::optional<Stat> read_stat(pid_t pid) {
  const auto stat = read_stat_line(pid);
  if (!stat) return std::nullopt;
  // The second field, the command in parentheses, may hold spaces and parentheses itself.
  const auto command_end = stat->rfind(") ");
  if (command_end == std::string::npos) return std::nullopt;
  std::string_view rest = std::string_view(*stat).substr(command_end + 2);
  Stat found;
  found.alive = !rest.starts_with('Z') && !rest.starts_with('X');
  constexpr int fields_from_state_to_start_time = 19;
  for (int skipped = 0; skipped < fields_from_state_to_start_time; ++skipped) {
    const auto space = rest.find(' ');
    if (space == std::string_view::npos) return std::nullopt;
    rest.remove_prefix(space + 1);
  }
  const auto parsed = std::from_chars(rest.begin(), rest.end(), found.start_time);
  if (parsed.ec != std::errc()) return std::nullopt;
  return found;
}

}  // namespace wso::proc
