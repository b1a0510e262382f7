// Starts a program with nothing but what it is given: an unprivileged user, no capabilities, no way
// to gain any, its own session, an empty network namespace and no more of the file system than it
// needs.
#pragma once

#include <string>
#include <vector>

#include <sys/types.h>

#include <wso/proc/process.hpp>

namespace wso::proc {

struct SpawnSpec {
  std::string program;  // a path; $PATH is not searched
  std::vector<std::string> arguments;
  std::vector<int> inherited_fds;  // keep their numbers; all others are closed
  // What it may open by name, where the kernel has Landlock: files, and directories with all that
  // is below, to read and execute; devices to read and write; and the inherited files. Both empty:
  // as its user may.
  std::vector<std::string> readable;
  std::vector<std::string> devices;
  int output_fd = -1;  // becomes standard output and standard error
  uid_t uid = 0;
  gid_t gid = 0;
  std::vector<gid_t> supplementary_groups;
  milliseconds exec_limit{10'000};  // for all that happens before the program runs
};

// Kills and reaps the process unless keep() was called: the owner of a process in the making.
class Spawned {
 public:
  explicit Spawned(Process process) : process_(std::move(process)) {}
  Spawned(Spawned&& other) noexcept
      : process_(std::move(other.process_)), owned_(std::exchange(other.owned_, false)) {}
  Spawned& operator=(Spawned&&) = delete;
  Spawned(const Spawned&) = delete;
  Spawned& operator=(const Spawned&) = delete;
  ~Spawned();

  Process keep() && {
    owned_ = false;
    return std::move(process_);
  }

 private:
  Process process_;
  bool owned_ = true;
};

// Blocks until the program has been executed (about 1 ms), so call it on the worker thread. Throws
// Errc::process; Errc::timeout after exec_limit; Errc::not_found if there is no such program,
// Errc::permission if it is not one that the user may execute. What went wrong before the program
// ran stands in its output.
Spawned spawn(const SpawnSpec& spec);

}  // namespace wso::proc
