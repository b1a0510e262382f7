// How the end of a process is seen: of a child, of a stranger, by several at once.
#include <csignal>

#include <gmock/gmock.h>
#include <sys/ptrace.h>

#include "program_test.hpp"

namespace wso::proc {
namespace {

using testing::UnorderedElementsAre;

class ExitedTest : public ProgramTest {
 protected:
  Process start(const SpawnSpec& spec) { return spawn(spec).keep(); }

  // A shell command that starts a child that sleeps.
  static std::string start_child() {
    return fmt::format("/bin/sleep 1000 {} & ", unique_argument());
  }

  // The child of the shell, from the moment on that it is no copy of the shell any more.
  static Process child() {
    const auto deadline = Clock::now() + test::Loop::patience;
    while (Clock::now() < deadline)
      if (auto process = Process::find_by_argument(unique_argument(), uid)) return *process;
    throw std::runtime_error("the shell has started no child");
  }

  static void await_stop(const Process& process) {
    siginfo_t info{};
    ASSERT_EQ(::waitid(P_PID, static_cast<id_t>(process.identity().pid), &info, WSTOPPED), 0);
  }
};

TEST_F(ExitedTest, SaysTheStatus) {
  for (const int status : {0, 1, 7, 127, 255}) {
    const Process process = start(shell(fmt::format("exit {}", status)));
    EXPECT_EQ(ending_of(process), fmt::format("exited with status {}", status));
  }
}

TEST_F(ExitedTest, SaysTheSignal) {
  const std::pair<int, const char*> signals[] = {
      {SIGKILL, "was killed by signal 9 (Killed)"},
      {SIGTERM, "was killed by signal 15 (Terminated)"},
      {SIGSEGV, "was killed by signal 11 (Segmentation fault)"},
      {SIGSYS, "was killed by signal 31 (Bad system call)"}};
  for (const auto& [number, sentence] : signals) {
    const Process process = start(sleeper());
    process.send_signal(number);
    EXPECT_EQ(ending_of(process), sentence);
  }
}

TEST_F(ExitedTest, AStoppedProcessHasNotExited) {
  const Process process = start(sleeper());
  process.send_signal(SIGSTOP);
  await_stop(process);
  auto ended = loop_.start(process.exited());
  loop_.settle();
  EXPECT_FALSE(test::Loop::ready(ended));
  process.send_signal(SIGKILL);
  EXPECT_EQ(loop_.finish(ended).describe(), "was killed by signal 9 (Killed)");
}

TEST_F(ExitedTest, ReapsTheChild) {
  const Process process = start(shell("exit 3"));
  ending_of(process);
  EXPECT_FALSE(has_children());
}

TEST_F(ExitedTest, TwoMayWaitAtOnce) {
  const Process process = start(sleeper());
  const Process copy = process;
  auto first = loop_.start(process.exited());
  auto second = loop_.start(copy.exited());
  loop_.settle();
  process.send_signal(SIGKILL);
  const std::string endings[] = {loop_.finish(first).describe(), loop_.finish(second).describe()};
  EXPECT_THAT(endings, UnorderedElementsAre("was killed by signal 9 (Killed)", "exited"));
}

TEST_F(ExitedTest, WhoComesLateHearsIt) {
  const Process process = start(shell("exit 3"));
  EXPECT_EQ(ending_of(process), "exited with status 3");
  EXPECT_EQ(ending_of(process), "exited");
}

TEST_F(ExitedTest, WaitsBeyondTheValueThatWasAsked) {
  auto process = std::make_optional(start(sleeper()));
  const ProcessIdentity identity = process->identity();
  auto ended = loop_.start(process->exited());
  loop_.settle();
  const Process other = *process;
  process.reset();
  EXPECT_TRUE(Process::find(identity));
  other.send_signal(SIGKILL);
  EXPECT_EQ(loop_.finish(ended).describe(), "was killed by signal 9 (Killed)");
}

TEST_F(ExitedTest, WhoIsCancelledLeavesTheProcessAlone) {
  const Process process = start(sleeper());
  asio::cancellation_signal signal;
  auto ended = loop_.start(process.exited(), signal);
  loop_.settle();
  signal.emit(asio::cancellation_type::terminal);
  EXPECT_EQ(loop_.failure(ended).code(), Errc::cancelled);
  EXPECT_TRUE(Process::find(process.identity()));
  EXPECT_EQ(end(process), "was killed by signal 9 (Killed)");
}

TEST_F(ExitedTest, ADeadlineLeavesTheProcessAlone) {
  const Process process = start(sleeper());
  const Error error = loop_.failure_of(with_deadline("sleep", milliseconds(20), process.exited()));
  EXPECT_EQ(error.code(), Errc::timeout);
  EXPECT_EQ(end(process), "was killed by signal 9 (Killed)");
}

TEST_F(ExitedTest, OfAStrangerOnlyThatItHas) {
  const Process parent = start(shell(start_child() + "wait"));
  const Process stranger = child();
  EXPECT_EQ(end(stranger), "exited");
  EXPECT_EQ(ending_of(parent), "exited with status 0");
}

TEST_F(ExitedTest, OfAStrangerThatStaysAZombie) {
  const Process parent = start(shell(start_child() + "kill -STOP $$"));
  const Process stranger = child();
  await_stop(parent);
  EXPECT_EQ(end(stranger), "exited");
  EXPECT_FALSE(Process::find(stranger.identity()));
  end(parent);
  EXPECT_EQ(ending_of(stranger), "was killed by signal 9 (Killed)") << "it is a child by now";
}

TEST_F(ExitedTest, OfAnOrphanThatHasBecomeAChild) {
  const Process parent = start(shell(start_child() + "exit 0"));
  const Process orphan = child();
  EXPECT_EQ(ending_of(parent), "exited with status 0");
  EXPECT_EQ(end(orphan), "was killed by signal 9 (Killed)");
}

// A traced child is its tracer's to reap first, whatever its parent waits for: ptrace(2).
TEST_F(ExitedTest, OfAChildThatIsTraced) {
  const Process process = start(sleeper());
  const Pipe attached = make_pipe();
  const pid_t tracer = ::fork();
  if (tracer == 0) {
    const bool done = ::ptrace(PTRACE_SEIZE, process.identity().pid, nullptr, nullptr) == 0;
    if (::write(attached.write_end.get(), done ? "y\n" : "n\n", 2) == 2) ::pause();
    ::_exit(1);
  }
  EXPECT_EQ(read_until(attached.read_end.get(), '\n'), "y");
  EXPECT_EQ(end(process), "exited");
  ::kill(tracer, SIGKILL);
  EXPECT_EQ(::waitpid(tracer, nullptr, 0), tracer);
  EXPECT_EQ(::waitpid(process.identity().pid, nullptr, 0), process.identity().pid);
}

}  // namespace
}  // namespace wso::proc
