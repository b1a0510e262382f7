// Runs the real wsoctl, whose path is in $WSOCTL, and takes what it writes.
#pragma once

#include <string>
#include <vector>

#include <sys/types.h>

#include <wso/base/unique_fd.hpp>

namespace wso::test {

// A running wsoctl; both its outputs go to memory, standard error to another descriptor if one is
// given.
class Program {
 public:
  explicit Program(std::vector<std::string> arguments, int error_fd = -1);
  Program(const Program&) = delete;
  Program& operator=(const Program&) = delete;
  ~Program();

  // Its exit status. A program that does not end in time is killed, and the test fails.
  int wait();
  [[nodiscard]] std::string output() const;
  [[nodiscard]] std::string errors() const;

 private:
  UniqueFd output_;
  UniqueFd errors_;
  pid_t pid_ = 0;  // 0: reaped
};

}  // namespace wso::test
