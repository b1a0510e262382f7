// Starts that fail, and who owns a process in the making.
#include <csignal>
#include <cstdlib>
#include <optional>

#include <gmock/gmock.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/syscall.h>

#include "../base/scratch.hpp"
#include "program_test.hpp"

namespace wso::proc {
namespace {

using test::failure_of_call;
using testing::AnyOf;
using testing::HasSubstr;

class SpawnTest : public ProgramTest {
 protected:
  void expect_failure(const SpawnSpec& spec, Errc code) {
    const Error error = failure_of_call([&spec] { spawn(spec); });
    EXPECT_EQ(error.code(), code) << error.what();
    EXPECT_THAT(error.what(), HasSubstr(spec.program));
    EXPECT_FALSE(has_children()) << "the child stays as a zombie";
  }
};

TEST_F(SpawnTest, AProgramThatIsNotThereIsNotFound) {
  expect_failure(spec_of("/nonexistent/qemu"), Errc::not_found);
  expect_failure(spec_of("/bin/true/qemu"), Errc::process);
  expect_failure(spec_of(""), Errc::not_found);
}

TEST_F(SpawnTest, ThePathIsNotSearched) { expect_failure(spec_of("true"), Errc::not_found); }

TEST_F(SpawnTest, WhatIsNoProgramIsNotStarted) {
  const test::Scratch dir;
  ASSERT_EQ(::chmod(dir.root().c_str(), 0755), 0);
  const auto text = dir.put("text", "neither ELF nor script");
  expect_failure(spec_of(text), Errc::permission);
  ASSERT_EQ(::chmod(text.c_str(), 0755), 0);
  expect_failure(spec_of(text), Errc::process);
  expect_failure(spec_of(dir.root()), Errc::permission);
}

TEST_F(SpawnTest, AProgramThatItsUserMayNotReachIsNotStarted) {
  const test::Scratch dir;
  std::filesystem::copy_file("/bin/true", dir / "true");
  expect_failure(spec_of(dir / "true"), Errc::permission);
}

TEST_F(SpawnTest, AStepThatFailsBeforeTheProgramRunsStandsInTheOutput) {
  auto spec = spec_of("/bin/echo", {"it runs"});
  constexpr int never_open = 1'000'000;
  spec.inherited_fds = {never_open};
  expect_failure(spec, Errc::process);
  EXPECT_EQ(output(), "before exec: hand over a file descriptor: Bad file descriptor\n");
}

TEST_F(SpawnTest, NothingRunsAsRoot) {
  auto spec = spec_of("/bin/echo", {"it runs"});
  spec.uid = 0;
  expect_failure(spec, Errc::process);
  EXPECT_EQ(output(), "before exec: stay unprivileged: Operation not permitted\n");
}

TEST_F(SpawnTest, NothingRunsAsTheUserThatMeansNoChange) {
  auto spec = spec_of("/bin/echo", {"it runs"});
  spec.uid = static_cast<uid_t>(-1);
  expect_failure(spec, Errc::process);
  EXPECT_THAT(output(), HasSubstr("before exec: "));
}

TEST_F(SpawnTest, NothingRunsWithoutAnOutput) {
  for (const int fd : {-1, 1'000'000}) {
    auto spec = spec_of("/bin/echo", {"it runs"});
    spec.output_fd = fd;
    testing::internal::CaptureStderr();
    expect_failure(spec, Errc::process);
    EXPECT_EQ(testing::internal::GetCapturedStderr(),
              "before exec: redirect the output: Bad file descriptor\n");
  }
}

// As on a file system that does not answer: a lease, which the kernel breaks after 45 s.
TEST_F(SpawnTest, AProgramThatIsNotExecutedInTimeIsGivenUp) {
  const test::Scratch dir;
  ASSERT_EQ(::chmod(dir.root().c_str(), 0755), 0);
  std::filesystem::copy_file("/bin/true", dir / "true");
  ASSERT_EQ(::chmod((dir / "true").c_str(), 0755), 0);
  const UniqueFd holder(::open((dir / "true").c_str(), O_RDWR | O_CLOEXEC));
  std::signal(SIGIO, SIG_IGN);
  ASSERT_EQ(::fcntl(holder.get(), F_SETLEASE, F_WRLCK), 0) << ::strerrordesc_np(errno);
  auto spec = spec_of(dir / "true");
  spec.exec_limit = milliseconds(100);
  expect_failure(spec, Errc::timeout);
}

std::optional<int> exit_witness;

TEST_F(SpawnTest, AFailedStartRunsNoExitHandlersOfItsParent) {
  const Pipe pipe = make_pipe();
  exit_witness = pipe.write_end.get();
  std::atexit([] {
    if (exit_witness && ::write(*exit_witness, "!", 1) < 0) ::abort();
  });
  // Often, as the child may be reaped before it comes to that.
  const auto spec = spec_of("/nonexistent/qemu");
  for (int i = 0; i < 100; ++i) expect_failure(spec, Errc::not_found);
  exit_witness.reset();
  pollfd readable{pipe.read_end.get(), POLLIN, 0};
  EXPECT_EQ(::poll(&readable, 1, 0), 0);
}

// Makes the kernel refuse this system call to this process, from here on, as it does when there is
// no free file descriptor. To use them up instead would take them from the sanitizers too.
void refuse(long call) {
  sock_filter program[] = {
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, static_cast<std::uint32_t>(call), 0, 1),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EMFILE),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW)};
  const sock_fprog filter{std::size(program), program};
  if (::prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter) != 0) ::_exit(1);
}

TEST_F(SpawnTest, NoProcessIsLeftWhicheverFileDescriptorIsTheOneTooMany) {
  for (const long call : {SYS_openat, SYS_pipe2, SYS_pidfd_open}) {
    const auto spec = sleeper();
    const pid_t refused = ::fork();
    if (refused == 0) {
      refuse(call);
      try {
        spawn(spec);
        ::dprintf(spec.output_fd, "it is started");
      } catch (const Error& error) {
        ::dprintf(spec.output_fd, "%s%s", error.what(), has_children() ? ", but runs" : ".");
      }
      ::_exit(0);
    }
    EXPECT_THAT(output(), testing::ContainsRegex(
                              "(start /bin/sleep|open a pidfd of process [0-9]+): [A-Za-z ]+\\.$"))
        << call;
    EXPECT_EQ(::waitpid(refused, nullptr, 0), refused);
  }
}

TEST_F(SpawnTest, AProcessThatNobodyKeepsIsKilledAndReaped) {
  std::optional<Spawned> spawned = spawn(sleeper());
  EXPECT_TRUE(has_children());
  spawned.reset();
  EXPECT_FALSE(has_children());
}

TEST_F(SpawnTest, AProcessThatNobodyKeepsIsReapedIfItHasEnded) {
  {
    const Spawned spawned = spawn(spec_of("/bin/true"));
    output();
  }
  EXPECT_FALSE(has_children());
}

TEST_F(SpawnTest, AProcessThatIsKeptRunsOn) {
  std::optional<Process> process;
  {
    Spawned spawned = spawn(sleeper());
    process = std::move(spawned).keep();
  }
  EXPECT_TRUE(Process::find(process->identity()));
  EXPECT_EQ(end(*process), "was killed by signal 9 (Killed)");
}

TEST_F(SpawnTest, TheLastOwnerKills) {
  std::optional<Spawned> first = spawn(sleeper());
  std::optional<Spawned> second(std::move(*first));
  first.reset();
  EXPECT_TRUE(has_children());
  second.reset();
  EXPECT_FALSE(has_children());
}

TEST_F(SpawnTest, AProcessWithoutAnyOwnerRunsOn) {
  // A value that refers to it and owns nothing.
  const ProcessIdentity identity = spawn(sleeper()).keep().identity();
  const auto process = Process::find(identity);
  ASSERT_TRUE(process);
  end(*process);
}

}  // namespace
}  // namespace wso::proc
