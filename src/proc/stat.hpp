// What the kernel says of a process.
#pragma once

#include <cstdint>
#include <optional>

#include <sys/types.h>

#include <wso/base/unique_fd.hpp>

namespace wso::proc {

// Empty if there is no such process.
UniqueFd open_pidfd(pid_t pid);

struct Stat {
  bool alive = false;            // false: a zombie
  std::uint64_t start_time = 0;  // field 22 of /proc/PID/stat
};

// nullopt if there is no such process.
std::optional<Stat> read_stat(pid_t pid);

}  // namespace wso::proc
