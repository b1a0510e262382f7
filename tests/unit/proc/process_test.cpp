// Which process is found again, and that no other is ever taken for it.
#include <csignal>
#include <future>
#include <limits>
#include <thread>

#include <gmock/gmock.h>
#include <linux/sched.h>
#include <sys/syscall.h>

#include "../../support/command.hpp"
#include "../base/scratch.hpp"
#include "program_test.hpp"

namespace wso::proc {
namespace {

using testing::HasSubstr;

// Returns when the process is a zombie.
void await_zombie(pid_t pid) {
  siginfo_t info{};
  ASSERT_EQ(::waitid(P_PID, static_cast<id_t>(pid), &info, WEXITED | WNOWAIT), 0);
}

// Until a process that is started now has another start time than one that runs already.
void await_next_tick() {
  const auto tick = [] {
    timespec now{};
    ::clock_gettime(CLOCK_BOOTTIME, &now);
    return now.tv_sec * ::sysconf(_SC_CLK_TCK) +
           now.tv_nsec / (1'000'000'000 / ::sysconf(_SC_CLK_TCK));
  };
  const auto first = tick();
  while (tick() == first) std::this_thread::yield();
}

// A child, a copy of this process that does nothing, under a number that was another's.
void fork_as(pid_t pid) {
  clone_args arguments{};
  arguments.exit_signal = SIGCHLD;
  arguments.set_tid = reinterpret_cast<std::uintptr_t>(&pid);
  arguments.set_tid_size = 1;
  const long forked = ::syscall(SYS_clone3, &arguments, sizeof arguments);
  if (forked == 0)
    while (true) ::syscall(SYS_pause);
  ASSERT_EQ(forked, pid) << ::strerrordesc_np(errno);
}

void kill_and_reap(pid_t pid) {
  ::kill(pid, SIGKILL);
  EXPECT_EQ(::waitpid(pid, nullptr, 0), pid);
}

class ProcessTest : public ProgramTest {
 protected:
  Process start(const SpawnSpec& spec) { return spawn(spec).keep(); }
};

TEST_F(ProcessTest, IsKnownByTheStartTimeThatTheKernelShows) {
  const Process process = start(sleeper());
  const auto [pid, start_time] = process.identity();
  EXPECT_EQ(test::output_of(fmt::format("cut -d ' ' -f 22 /proc/{}/stat", pid)),
            fmt::format("{}\n", start_time));
  end(process);
}

TEST_F(ProcessTest, IsFoundAgain) {
  const Process process = start(sleeper());
  const auto found = Process::find(process.identity());
  ASSERT_TRUE(found);
  EXPECT_EQ(found->identity(), process.identity());
  EXPECT_EQ(end(*found), "was killed by signal 9 (Killed)");
}

TEST_F(ProcessTest, IsFoundWhateverItsNameIs) {
  const test::Scratch dir;
  ASSERT_EQ(::chmod(dir.root().c_str(), 0755), 0);
  for (const char* name : {"a) Z 0 (b", ") Z", "(((", " ", "a\nb", "\xff"}) {
    std::filesystem::copy_file("/bin/sleep", dir / name);
    const Process process = start(spec_of(dir / name, {"1000"}));
    EXPECT_NE(process.identity().start_time, 0U) << name;
    EXPECT_TRUE(Process::find(process.identity())) << name;
    end(process);
  }
}

TEST_F(ProcessTest, IsNotFoundWithAnotherStartTime) {
  const Process process = start(sleeper());
  const auto [pid, start_time] = process.identity();
  for (const std::uint64_t other : {std::uint64_t{0}, start_time - 1, start_time + 1,
                                    std::numeric_limits<std::uint64_t>::max()})
    EXPECT_FALSE(Process::find({pid, other})) << other;
  end(process);
}

TEST_F(ProcessTest, IsNotFoundUnderANumberThatNoProcessHas) {
  constexpr pid_t past_all = 1 << 22;
  for (const pid_t pid : {0, -1, -::getpid(), past_all, std::numeric_limits<pid_t>::max(),
                          std::numeric_limits<pid_t>::min()})
    EXPECT_FALSE(Process::find({pid, 0})) << pid;
}

TEST_F(ProcessTest, IsNotFoundUnderTheNumberOfAThread) {
  std::promise<pid_t> started;
  std::promise<void> done;
  std::thread thread([&started, ended = done.get_future()] {
    started.set_value(::gettid());
    ended.wait();
  });
  const pid_t tid = started.get_future().get();
  const auto start_time =
      std::stoull(test::output_of(fmt::format("cut -d ' ' -f 22 /proc/{}/stat", tid)));
  EXPECT_NO_THROW(EXPECT_FALSE(Process::find({tid, start_time})));
  done.set_value();
  thread.join();
}

TEST_F(ProcessTest, IsNotFoundWhenItIsAZombie) {
  const Process process = start(sleeper());
  process.send_signal(SIGKILL);
  await_zombie(process.identity().pid);
  EXPECT_FALSE(Process::find(process.identity()));
  ending_of(process);
}

TEST_F(ProcessTest, IsNotFoundWhenItHasGone) {
  const Process process = start(sleeper());
  end(process);
  EXPECT_FALSE(Process::find(process.identity()));
}

TEST_F(ProcessTest, IsNotTakenForALaterOneWithItsNumber) {
  const auto argument = unique_argument();
  const Process gone = start(sleeper(argument));
  end(gone);
  await_next_tick();
  const pid_t pid = gone.identity().pid;
  fork_as(pid);
  EXPECT_FALSE(Process::find(gone.identity()));
  EXPECT_FALSE(gone.send_signal(SIGKILL));
  EXPECT_EQ(::kill(pid, 0), 0) << "the later one was hit";
  // It has the command line of this program.
  std::string first_word;
  std::getline(std::ifstream("/proc/self/cmdline"), first_word, '\0');
  EXPECT_FALSE(gone.has_argument(first_word));
  EXPECT_EQ(ending_of(gone), "exited");
  EXPECT_EQ(::kill(pid, 0), 0) << "the later one was reaped";
  kill_and_reap(pid);
}

TEST_F(ProcessTest, HasTheArgumentsOfItsCommandLineAndNoOthers) {
  const Process process = start(spec_of("/bin/sleep", {"1000", "0.125", "00.5"}));
  for (const char* argument : {"/bin/sleep", "1000", "0.125", "00.5"})
    EXPECT_TRUE(process.has_argument(argument)) << argument;
  for (const char* argument : {"", "sleep", "100", "0.12", "0.1250", "1000 0.125", "0.5"})
    EXPECT_FALSE(process.has_argument(argument)) << argument;
  const auto with_nul = std::string("1000\0", 5) + "0.125";
  EXPECT_FALSE(process.has_argument(with_nul));
  end(process);
  EXPECT_FALSE(process.has_argument("1000"));
}

TEST_F(ProcessTest, IsFoundByAnArgument) {
  const auto argument = unique_argument();
  EXPECT_FALSE(Process::find_by_argument(argument, uid));
  const Process process = start(sleeper(argument));
  const auto found = Process::find_by_argument(argument, uid);
  ASSERT_TRUE(found);
  EXPECT_EQ(found->identity(), process.identity());
  EXPECT_FALSE(Process::find_by_argument(argument.substr(0, argument.size() - 1) + "x", uid));
  process.send_signal(SIGKILL);
  await_zombie(process.identity().pid);
  EXPECT_FALSE(Process::find_by_argument(argument, uid));
  ending_of(process);
}

TEST_F(ProcessTest, IsNotFoundByAnArgumentThatAnotherUserNames) {
  const auto argument = unique_argument();
  SpawnSpec search = sleeper(argument);
  ++search.uid;
  const Process before = start(search);
  EXPECT_FALSE(Process::find_by_argument(argument, uid));
  const Process process = start(sleeper(argument));
  const Process after = start(search);
  const auto found = Process::find_by_argument(argument, uid);
  ASSERT_TRUE(found);
  EXPECT_EQ(found->identity(), process.identity());
  EXPECT_FALSE(Process::find_by_argument(argument, uid / 10));
  EXPECT_FALSE(Process::find_by_argument(argument, 0));
  for (const Process& each : {before, process, after}) end(each);
}

TEST_F(ProcessTest, TheSearchGoesOnWhenProcessesComeAndGo) {
  const Process busy = start(shell("i=0; while [ $i -lt 1000 ]; do /bin/true; i=$((i + 1)); done"));
  auto ended = loop_.start(busy.exited());
  while (!test::Loop::ready(ended)) {
    EXPECT_NO_THROW(EXPECT_FALSE(Process::find_by_argument("no process has this argument", uid)));
    loop_.settle();
  }
  EXPECT_EQ(ended.get().describe(), "exited with status 0");
}

TEST_F(ProcessTest, IsSentSignalsUntilItHasGone) {
  const Process process = start(sleeper());
  EXPECT_TRUE(process.send_signal(0));
  EXPECT_TRUE(process.send_signal(SIGTERM));
  EXPECT_EQ(ending_of(process), "was killed by signal 15 (Terminated)");
  EXPECT_FALSE(process.send_signal(SIGTERM));
}

TEST_F(ProcessTest, ASignalThatDoesNotExistIsAnError) {
  const Process process = start(sleeper());
  for (const int number : {-1, 65, 9999}) {
    const Error error = test::failure_of_call([&] { process.send_signal(number); });
    EXPECT_THAT(error.what(),
                HasSubstr(fmt::format("signal {} to process {}", number, process.identity().pid)));
  }
  end(process);
}

}  // namespace
}  // namespace wso::proc
