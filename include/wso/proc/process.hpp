// A process that is watched through a pidfd, whether this daemon started it or found it running. A
// value that refers to the process and owns nothing of it: destroying one leaves the process alone.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include <boost/asio/any_io_executor.hpp>
#include <sys/types.h>

#include <wso/base/task.hpp>
#include <wso/base/unique_fd.hpp>

namespace wso::proc {

// A pid together with what tells it from a later process with the same number.
struct ProcessIdentity {
  pid_t pid = 0;
  std::uint64_t start_time = 0;  // clock ticks since boot: field 22 of /proc/PID/stat, see proc(5)
  bool operator==(const ProcessIdentity&) const = default;
};

// How a process has ended. Neither is known of one that is no child of this process.
struct Exit {
  std::optional<int> status;
  std::optional<int> signal_number;  // of the signal that killed it

  // "exited with status 1", "was killed by signal 9 (Killed)", "exited".
  [[nodiscard]] std::string describe() const;
};

// How many processes the kernel has killed for want of memory since it was booted.
std::uint64_t n_oom_kills();

class Process {
 public:
  Process() = default;
  Process(ProcessIdentity identity, UniqueFd pidfd);

  // The running process with this identity; nullopt if it is gone, even if its number is in use
  // again.
  static std::optional<Process> find(const ProcessIdentity& identity);

  // The first running process of this user that has this argument in its command line. Without the
  // user, whoever names the argument, as a search for it does, could be taken for the one meant.
  static std::optional<Process> find_by_argument(const std::string& argument, uid_t uid);

  [[nodiscard]] const ProcessIdentity& identity() const { return identity_; }

  // Whether the argument stands in the process's command line.
  [[nodiscard]] bool has_argument(const std::string& argument) const;

  // False if it is gone already.
  bool send_signal(int signal_number) const;

  // Waits until it has exited, and reaps it if it is a child.
  [[nodiscard]] Task<Exit> exited() const;

 private:
  // Whether it runs as this user, really and effectively.
  [[nodiscard]] bool runs_as(uid_t uid) const;
  // What was read of /proc/PID before this is true was read of this process.
  [[nodiscard]] bool still_runs() const;

  ProcessIdentity identity_;
  std::shared_ptr<const UniqueFd> pidfd_;
};

}  // namespace wso::proc
