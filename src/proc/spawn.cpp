// The only file that includes Boost.Process v2. Two things about Boost 1.81 shape it: it needs
// <boost/optional.hpp> and <boost/type_traits.hpp> before it when it uses std::filesystem, and its
// process object kills its process when destroyed, so none is ever kept.
#include <boost/optional.hpp>
#include <boost/type_traits.hpp>

#define BOOST_PROCESS_USE_STD_FS 1
#define BOOST_PROCESS_V2_HEADER_ONLY 1
#include <csignal>
#include <cstdio>
#include <cstring>

#include <boost/asio/io_context.hpp>
#include <boost/process/v2/posix/default_launcher.hpp>
#include <boost/process/v2/process.hpp>
#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <linux/close_range.h>
#include <sched.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <wso/proc/spawn.hpp>

#include "landlock.hpp"
#include "stat.hpp"

namespace wso::proc {
namespace {

namespace process = boost::process::v2;

// Runs in the child between fork and exec. Returns 0 or errno, after a line on standard error that
// names the step.
class Confinement {
 public:
  explicit Confinement(const SpawnSpec& spec) : spec_(spec) {
    if (!spec.readable.empty() || !spec.devices.empty())
      landlock_ = make_landlock_ruleset(spec.readable, spec.devices, spec.inherited_fds);
  }

  int enter() const {
    const int failed =
        standard_streams() || nothing_else() || own_session() || no_network() || no_privileges();
    return failed != 0 ? errno : 0;
  }

 private:
  static int step(const char* what, long result) {
    if (result >= 0) return 0;
    const int error_number = errno;
    ::dprintf(STDERR_FILENO, "before exec: %s: %s\n", what, ::strerrordesc_np(error_number));
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

  // Closed at exec and not here: the launcher still needs its pipe. Its own way of closing what is
  // not inherited misses all numbers below the highest one that is.
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

// The hooks that Process v2 calls in the child.
struct ConfinedStart {
  const Confinement& confinement;

  template <typename Launcher>
  boost::system::error_code on_exec_setup(Launcher& /*launcher*/,
                                          const process::filesystem::path& /*program*/,
                                          const char* const*& /*arguments*/) const {
    const int error_number = confinement.enter();
    // The launcher reports errno to the parent, not the code that it is given here.
    errno = error_number;
    return {error_number, boost::system::system_category()};
  }

  // The launcher would end the child by exit(), which runs the daemon's own exit handlers. Both
  // forms are looked up by it: one to see if there is a hook, the other to call it.
  template <typename... Ignored>
  void on_exec_error(Ignored&&... /*ignored*/) const {
    ::_exit(127);
  }
};

constexpr const char* environment[] = {"LANG=C", nullptr};

// Executes the program in launcher.pid.
boost::system::error_code execute(process::posix::default_launcher& launcher,
                                  const SpawnSpec& spec) {
  const Confinement confinement(spec);
  launcher.env = environment;
  launcher.fd_whitelist.insert(launcher.fd_whitelist.end(), spec.inherited_fds.begin(),
                               spec.inherited_fds.end());
  try {
    // Its own context: to fork while another thread runs a context is not allowed by Asio.
    asio::io_context context;
    boost::system::error_code ec;
    auto started = launcher(context.get_executor(), ec, spec.program, spec.arguments,
                            ConfinedStart{confinement});
    if (!ec) started.detach();
    return ec;
  } catch (const boost::system::system_error& error) {
    // The program may run by now, but there was no file descriptor left to watch it with.
    return error.code();
  }
}

Errc code_of(const boost::system::error_code& ec) {
  switch (ec.value()) {
    case ENOENT:
      return Errc::not_found;
    case EACCES:
      return Errc::permission;
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
  explicit ChildGuard(const pid_t& pid) : pid_(&pid) {}
  ChildGuard(const ChildGuard&) = delete;
  ChildGuard& operator=(const ChildGuard&) = delete;
  ~ChildGuard() {
    if (pid_ != nullptr && *pid_ > 0) kill_and_reap(*pid_);
  }
  void keep() { pid_ = nullptr; }

 private:
  const pid_t* pid_;
};

}  // namespace

Spawned::~Spawned() {
  if (owned_) kill_and_reap(process_.identity().pid);
}

Spawned spawn(const SpawnSpec& spec) {
  process::posix::default_launcher launcher;
  ChildGuard guard(launcher.pid);
  if (const auto ec = execute(launcher, spec))
    throw Error(code_of(ec), "start {}: {}", spec.program, ec.message());
  // Nobody else reaps it, so the number stays this process's, even if it has ended by now.
  UniqueFd pidfd = open_pidfd(launcher.pid);
  const auto stat = read_stat(launcher.pid);
  const ProcessIdentity identity{launcher.pid, stat ? stat->start_time : 0};
  Process started(identity, std::move(pidfd));
  guard.keep();
  return Spawned(std::move(started));
}

}  // namespace wso::proc
