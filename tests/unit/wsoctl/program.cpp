// Starts wsoctl with its outputs in memory and ends it if it does not end itself.
#include "program.hpp"

#include <csignal>
#include <cstdlib>

#include <fcntl.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <spawn.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <wso/base/error.hpp>

namespace wso::test {
namespace {

constexpr int deadline_ms = 60'000;

UniqueFd memory_file(const char* name) {
  UniqueFd fd(::memfd_create(name, MFD_CLOEXEC));
  if (!fd) throw_errno("memfd_create");
  return fd;
}

std::string contents(int fd) {
  std::string text(static_cast<std::size_t>(::lseek(fd, 0, SEEK_END)), '\0');
  if (::pread(fd, text.data(), text.size(), 0) != static_cast<ssize_t>(text.size()))
    throw_errno("read what wsoctl wrote");
  return text;
}

}  // namespace

Program::Program(std::vector<std::string> arguments, int error_fd)
    : output_(memory_file("output")), errors_(memory_file("errors")) {
  const char* path = std::getenv("WSOCTL");
  if (path == nullptr) throw Error(Errc::invalid_argument, "WSOCTL must hold the path of wsoctl");
  arguments.insert(arguments.begin(), path);
  std::vector<char*> argv;
  for (std::string& argument : arguments) argv.push_back(argument.data());
  argv.push_back(nullptr);
  posix_spawn_file_actions_t actions;
  ::posix_spawn_file_actions_init(&actions);
  ::posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
  ::posix_spawn_file_actions_adddup2(&actions, output_.get(), STDOUT_FILENO);
  ::posix_spawn_file_actions_adddup2(&actions, error_fd < 0 ? errors_.get() : error_fd,
                                     STDERR_FILENO);
  const int error = ::posix_spawn(&pid_, path, &actions, nullptr, argv.data(), environ);
  ::posix_spawn_file_actions_destroy(&actions);
  if (error != 0) throw_errno(path, error);
}

Program::~Program() {
  if (pid_ != 0) wait();
}

int Program::wait() {
  const UniqueFd pidfd(static_cast<int>(::syscall(SYS_pidfd_open, pid_, 0)));
  pollfd entry{pidfd.get(), POLLIN, 0};
  if (::poll(&entry, 1, deadline_ms) != 1) {
    ADD_FAILURE() << "wsoctl does not end: " << errors();
    ::kill(pid_, SIGKILL);
  }
  int status = 0;
  ::waitpid(std::exchange(pid_, 0), &status, 0);
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

std::string Program::output() const { return contents(output_.get()); }
std::string Program::errors() const { return contents(errors_.get()); }

}  // namespace wso::test
