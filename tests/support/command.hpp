// Runs other programs in a test: the second witness of what the code under test has done.
#pragma once

#include <array>
#include <cstdio>
#include <stdexcept>
#include <string>

#include <sys/wait.h>

namespace wso::test {

struct CommandResult {
  int status = 0;
  std::string output;  // standard output and standard error
};

inline CommandResult run(const std::string& command) {
  FILE* pipe = ::popen(("exec 2>&1; " + command).c_str(), "re");
  if (pipe == nullptr) throw std::runtime_error("cannot run " + command);
  CommandResult result;
  std::array<char, 4096> chunk{};
  while (const std::size_t size = std::fread(chunk.data(), 1, chunk.size(), pipe))
    result.output.append(chunk.data(), size);
  const int status = ::pclose(pipe);
  result.status = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  return result;
}

// The output of a command that must succeed.
inline std::string output_of(const std::string& command) {
  const CommandResult result = run(command);
  if (result.status != 0) throw std::runtime_error(command + ": " + result.output);
  return result.output;
}

}  // namespace wso::test
