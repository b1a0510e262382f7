#include <cerrno>
#include <csignal>
#include <cstring>

#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <linux/close_range.h>
#include <poll.h>
#include <sched.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#include <wso/proc/spawn.hpp>

#include "landlock.hpp"
#include "stat.hpp"

namespace wso::proc {
namespace {

// Runs in the child between fork and exec. The daemon has threads, so nothing here may wait for one
// of them, as an allocation can: signal-safety(7).
class Confinement {
 public:
  explicit Confinement(const SpawnSpec& spec) : spec_(spec) {
    if (!spec.readable.empty() || !spec.devices.empty())
      landlock_ = make_landlock_ruleset(spec.readable, spec.devices, spec.inherited_fds);
  }

  // False and errno after a line on standard error that names the step.
  bool enter() const {
    return (standard_streams() || nothing_else() || own_session() || no_network() ||
            no_privileges()) == 0;
  }

 private:
  static int step(const char* what, long result) {
    if (result >= 0) return 0;
    const int error_number = errno;
    const auto part = [](const char* text) {
      return iovec{const_cast<char*>(text), ::strlen(text)};
    };
    const iovec line[] = {part("before exec: "), part(what), part(": "),
                          part(::strerrordesc_np(error_number)), part("\n")};
    const ssize_t written = ::writev(STDERR_FILENO, line, std::size(line));
    static_cast<void>(written);
    errno = error_number;
    return 1;
  }

  int standard_streams() const {
    // Without O_CLOEXEC, which would stay if it were standard input itself.
    const int null = ::open("/dev/null", O_RDONLY);
    return step("redirect the output", ::dup2(spec_.output_fd, STDERR_FILENO)) ||
           step("redirect the output", ::dup2(spec_.output_fd, STDOUT_FILENO)) ||
           step("open /dev/null", null) || step("redirect the input", ::dup2(null, STDIN_FILENO));
  }

  // Closed at exec and not here: the pipe to the daemon is still needed.
  int nothing_else() const {
    if (step("close other file descriptors",
             ::close_range(STDERR_FILENO + 1, ~0U, CLOSE_RANGE_CLOEXEC)) != 0)
      return 1;
    for (const int fd : spec_.inherited_fds)
      if (step("hand over a file descriptor", ::fcntl(fd, F_SETFD, 0)) != 0) return 1;
    return 0;
  }

  // A program that this daemon starts must not die with it, nor with a terminal's Ctrl-C, and must
  // not inherit which signals the daemon blocks or ignores.
  static int own_session() {
    sigset_t none;
    ::sigemptyset(&none);
    for (int number = 1; number < NSIG; ++number) ::signal(number, SIG_DFL);
    ::umask(S_IRWXG | S_IRWXO);
    const rlimit no_core{0, 0};
    return step("setsid", ::setsid()) ||
           step("sigprocmask", ::sigprocmask(SIG_SETMASK, &none, nullptr)) ||
           step("chdir", ::chdir("/")) || step("setrlimit", ::setrlimit(RLIMIT_CORE, &no_core));
  }

  static int no_network() { return step("unshare the network", ::unshare(CLONE_NEWNET)); }

  // In this order: the bounding set needs a capability, the groups need root, and only then root is
  // given up. That leaves the inheritable capabilities, and under some securebits(7) all of them.
  int no_privileges() const {
    const __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
    const __user_cap_data_struct no_capabilities[_LINUX_CAPABILITY_U32S_3] = {};
    for (int capability = 0; ::prctl(PR_CAPBSET_READ, capability, 0, 0, 0) >= 0; ++capability)
      if (step("drop the capability bounding set", ::prctl(PR_CAPBSET_DROP, capability, 0, 0, 0)))
        return 1;
    return step("clear ambient capabilities",
                ::prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0)) ||
           step("setgroups", ::setgroups(spec_.supplementary_groups.size(),
                                         spec_.supplementary_groups.data())) ||
           step("setresgid", ::setresgid(spec_.gid, spec_.gid, spec_.gid)) ||
           step("setresuid", ::setresuid(spec_.uid, spec_.uid, spec_.uid)) ||
           step("drop all capabilities", ::syscall(SYS_capset, &header, no_capabilities)) ||
           step("set no_new_privs", ::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)) ||
           step("restrict access to files", restrict_by_landlock(landlock_)) ||
           step("stay unprivileged", never_root());
  }

  static int never_root() {
    if (::setuid(0) != 0) return 0;
    errno = EPERM;
    return -1;
  }

  const SpawnSpec& spec_;
  UniqueFd landlock_;
};

Errc code_of(int error_number) {
  switch (error_number) {
    case ENOENT:
      return Errc::not_found;
    case EACCES:
      return Errc::permission;
    case ETIMEDOUT:
      return Errc::timeout;
    default:
      return Errc::process;
  }
}

void kill_and_reap(pid_t pid) {
  ::kill(pid, SIGKILL);
  while (::waitpid(pid, nullptr, 0) < 0 && errno == EINTR) continue;
}

// A child that nobody else knows of yet: if what follows its start fails, it must not stay.
class ChildGuard {
 public:
  explicit ChildGuard(pid_t pid) : pid_(pid) {}
  ChildGuard(const ChildGuard&) = delete;
  ChildGuard& operator=(const ChildGuard&) = delete;
  ~ChildGuard() {
    if (pid_ > 0) kill_and_reap(pid_);
  }
  void keep() { pid_ = -1; }

 private:
  pid_t pid_;
};

// As execve(2) takes them. Views into what they were made of.
std::vector<char*> pointers_to(const std::string& program,
                               const std::vector<std::string>& arguments) {
  const auto pointer = [](const std::string& word) { return const_cast<char*>(word.c_str()); };
  std::vector<char*> pointers = {pointer(program)};
  for (const auto& argument : arguments) pointers.push_back(pointer(argument));
  pointers.push_back(nullptr);
  return pointers;
}

[[noreturn]] void become(const std::string& program, const std::vector<char*>& arguments,
                         const Confinement& confinement, int report_fd) {
  static char language[] = "LANG=C";
  static char* const environment[] = {language, nullptr};
  if (confinement.enter()) ::execve(program.c_str(), arguments.data(), environment);
  const int error_number = errno;
  const ssize_t written = ::write(report_fd, &error_number, sizeof error_number);
  static_cast<void>(written);
  // Not exit(), which would run the daemon's own handlers.
  ::_exit(127);
}

// What become() reports, or 0 once the program runs: exec closes the other end of the pipe. A
// program on a file system that does not answer may take for ever: then ETIMEDOUT.
int wait_for_exec(const UniqueFd& report, milliseconds limit) {
  pollfd entry{report.get(), POLLIN, 0};
  const int n_ready = ::poll(&entry, 1, static_cast<int>(limit.count()));
  if (n_ready <= 0) return n_ready == 0 ? ETIMEDOUT : errno;
  int error_number = 0;
  ssize_t n_read = 0;
  do n_read = ::read(report.get(), &error_number, sizeof error_number);
  while (n_read < 0 && errno == EINTR);
  return n_read < 0 ? errno : error_number;
}

}  // namespace

Spawned::~Spawned() {
  if (owned_) kill_and_reap(process_.identity().pid);
}

Spawned spawn(const SpawnSpec& spec) {
  const auto failure = [&spec](int error_number) {
    return Error(code_of(error_number), "start {}: {}", spec.program,
                 ::strerrordesc_np(error_number));
  };
  const Confinement confinement(spec);
  const std::vector<char*> arguments = pointers_to(spec.program, spec.arguments);
  int pipe_fds[2] = {-1, -1};
  if (::pipe2(pipe_fds, O_CLOEXEC) != 0) throw failure(errno);
  const UniqueFd report(pipe_fds[0]);
  UniqueFd report_of_child(pipe_fds[1]);
  const pid_t pid = ::fork();
  if (pid < 0) throw failure(errno);
  if (pid == 0) become(spec.program, arguments, confinement, report_of_child.get());
  ChildGuard guard(pid);
  report_of_child.reset();
  if (const int error_number = wait_for_exec(report, spec.exec_limit)) throw failure(error_number);

  // Nobody else reaps it, so the number stays this process's, even if it has ended by now.
  UniqueFd pidfd = open_pidfd(pid);
  const auto stat = read_stat(pid);
  const ProcessIdentity identity{pid, stat ? stat->start_time : 0};
  Process started(identity, std::move(pidfd));
  guard.keep();
  return Spawned(std::move(started));
}

}  // namespace wso::proc
