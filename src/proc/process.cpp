#include <charconv>
#include <cstring>
#include <filesystem>
#include <fstream>

#include <boost/asio/posix/stream_descriptor.hpp>
#include <fcntl.h>
#include <poll.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <wso/proc/process.hpp>

#include "stat.hpp"

namespace wso::proc {

std::uint64_t n_oom_kills() {
  std::ifstream file("/proc/vmstat");
  std::string key;
  std::uint64_t value = 0;
  while (file >> key >> value)
    if (key == "oom_kill") return value;
  return 0;
}

std::string Exit::describe() const {
  if (status) return fmt::format("exited with status {}", *status);
  if (signal_number)
    return fmt::format("was killed by signal {} ({})", *signal_number, ::strsignal(*signal_number));
  return "exited";
}

Process::Process(ProcessIdentity identity, UniqueFd pidfd)
    : identity_(identity), pidfd_(std::make_shared<const UniqueFd>(std::move(pidfd))) {}

std::optional<Process> Process::find(const ProcessIdentity& identity) {
  // The pidfd first: what is read of /proc after it is opened is read of the process that it holds,
  // or shows that this one has gone.
  UniqueFd pidfd = open_pidfd(identity.pid);
  const auto stat = read_stat(identity.pid);
  if (!pidfd || !stat || !stat->alive || stat->start_time != identity.start_time)
    return std::nullopt;
  return Process(identity, std::move(pidfd));
}

std::optional<Process> Process::find_by_argument(const std::string& argument, uid_t uid) {
  std::error_code ec;
  for (std::filesystem::directory_iterator entry("/proc", ec), end; !ec && entry != end;
       entry.increment(ec)) {
    const std::string directory = entry->path().filename();
    pid_t pid = 0;
    const char* const last = directory.data() + directory.size();
    if (std::from_chars(directory.data(), last, pid).ptr != last) continue;
    const auto stat = read_stat(pid);
    if (!stat) continue;
    auto process = find({pid, stat->start_time});
    if (process && process->runs_as(uid) && process->has_argument(argument)) return process;
  }
  return std::nullopt;
}

bool Process::has_argument(const std::string& argument) const {
  std::ifstream file(fmt::format("/proc/{}/cmdline", identity_.pid), std::ios::binary);
  std::string word;
  while (std::getline(file, word, '\0'))
    if (word == argument) return still_runs();
  return false;
}

bool Process::runs_as(uid_t uid) const {
  // Not the owner of /proc/PID, which is root for a process that cannot be dumped.
  std::ifstream file(fmt::format("/proc/{}/status", identity_.pid));
  const std::string prefix = fmt::format("Uid:\t{0}\t{0}\t", uid);
  std::string line;
  while (std::getline(file, line))
    if (line.starts_with(prefix)) return still_runs();
  return false;
}

bool Process::still_runs() const {
  pollfd entry{pidfd_->get(), POLLIN, 0};
  return ::poll(&entry, 1, 0) == 0;
}

bool Process::send_signal(int signal_number) const {
  if (::syscall(SYS_pidfd_send_signal, pidfd_->get(), signal_number, nullptr, 0) == 0) return true;
  if (errno == ESRCH) return false;
  throw_errno(fmt::format("send signal {} to process {}", signal_number, identity_.pid));
}

Task<Exit> Process::exited() const {
  UniqueFd copy(::fcntl(pidfd_->get(), F_DUPFD_CLOEXEC, 0));
  if (!copy) throw_errno("duplicate a pidfd");
  asio::posix::stream_descriptor watched(co_await asio::this_coro::executor, copy.release());
  // A pidfd becomes readable when its process has exited: pidfd_open(2).
  co_await watched.async_wait(asio::posix::descriptor_base::wait_read, asio::use_awaitable);
  siginfo_t info{};
  const int waited =
      ::waitid(P_PIDFD, static_cast<id_t>(watched.native_handle()), &info, WEXITED | WNOHANG);
  // Not a child, or one that whoever traces it has not let go of.
  Exit exit;
  if (waited != 0 || info.si_pid == 0) co_return exit;
  (info.si_code == CLD_EXITED ? exit.status : exit.signal_number) = info.si_status;
  co_return exit;
}

}  // namespace wso::proc
