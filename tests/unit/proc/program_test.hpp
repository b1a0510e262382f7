// What the tests of wso::proc share: real programs, started confined, and what they say and leave.
#pragma once

#include <array>
#include <csignal>
#include <fstream>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include <fcntl.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <wso/proc/spawn.hpp>

#include "../base/loop.hpp"

namespace wso::proc {

struct Pipe {
  UniqueFd read_end;
  UniqueFd write_end;
};

inline Pipe make_pipe() {
  std::array<int, 2> fds{};
  if (::pipe2(fds.data(), O_CLOEXEC) != 0) throw std::runtime_error("pipe2 failed");
  return {UniqueFd(fds[0]), UniqueFd(fds[1])};
}

// What is written to the pipe until its last writer has gone, or until `last` has been read.
inline std::string read_until(int fd, char last = '\0') {
  std::string text;
  char c = 0;
  constexpr int patience_ms = 20'000;
  pollfd readable{fd, POLLIN, 0};
  while (::poll(&readable, 1, patience_ms) == 1) {
    if (::read(fd, &c, 1) <= 0) return text;
    if (last != '\0' && c == last) return text;
    text += c;
  }
  throw std::runtime_error("the test read in vain");
}

class ProgramTest : public testing::Test {
 protected:
  static constexpr uid_t uid = 1'900'000'123;
  static constexpr gid_t gid = 1'900'000'124;

  // Zombies too are children.
  static bool has_children() {
    siginfo_t info{};
    return ::waitid(P_ALL, 0, &info, WEXITED | WSTOPPED | WNOHANG | WNOWAIT) == 0;
  }

  // Orphans of what is started here come to this process, so that none gets lost.
  void SetUp() override { ASSERT_EQ(::prctl(PR_SET_CHILD_SUBREAPER, 1), 0); }

  void TearDown() override {
    EXPECT_FALSE(has_children()) << "a process is left behind";
    while (has_children()) {
      pid_t pid = 0;
      std::ifstream("/proc/thread-self/children") >> pid;
      ::kill(pid, SIGKILL);
      ::waitpid(pid, nullptr, 0);
    }
  }

  SpawnSpec spec_of(std::string program, std::vector<std::string> arguments = {}) {
    output_ = make_pipe();
    SpawnSpec spec;
    spec.program = std::move(program);
    spec.arguments = std::move(arguments);
    spec.output_fd = output_.write_end.get();
    spec.uid = uid;
    spec.gid = gid;
    return spec;
  }

  SpawnSpec shell(std::string script) { return spec_of("/bin/sh", {"-c", std::move(script)}); }

  // Sleeps for longer than any test lasts: for 1000 seconds, and for what `argument` adds.
  SpawnSpec sleeper(std::string argument = "0") {
    return spec_of("/bin/sleep", {"1000", std::move(argument)});
  }

  // A number that no other process has in its command line.
  static std::string unique_argument() { return fmt::format("0.{}", ::getpid()); }

  std::string output() {
    output_.write_end.reset();
    return read_until(output_.read_end.get());
  }

  std::string ending_of(const Process& process) { return loop_.run(process.exited()).describe(); }

  // What a program says that must end well.
  std::string output_of(const SpawnSpec& spec) {
    const Process process = spawn(spec).keep();
    std::string text = output();
    EXPECT_EQ(ending_of(process), "exited with status 0") << text;
    return text;
  }

  std::string end(const Process& process) {
    process.send_signal(SIGKILL);
    return ending_of(process);
  }

  Pipe output_;
  test::Loop loop_;
};

}  // namespace wso::proc
