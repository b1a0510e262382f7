// What QEMU itself prints. Its standard error is a FIFO that QEMU alone keeps open, at both ends: a
// write neither waits nor fails while no daemon reads, and what nobody takes is lost beyond the 64
// KiB that the kernel keeps. The daemon moves it into a log that rotates, so that a guest which
// makes QEMU complain without end fills no disk.
#pragma once

#include <filesystem>
#include <optional>
#include <string>

#include <wso/base/task.hpp>
#include <wso/base/unique_fd.hpp>

namespace wso::domain {

// Makes the FIFO, in place of one that an earlier QEMU left. Returns the end for QEMU.
UniqueFd create_message_pipe(const std::filesystem::path& path);

// The end to read from. Empty if there is none.
UniqueFd open_message_pipe(const std::filesystem::path& path);

// Does not wait: all that has come so far; nullopt when that is all, as QEMU has gone.
std::optional<std::string> take_messages(const UniqueFd& pipe);

// Moves messages into the log until QEMU has gone. `worker` must outlive it.
Task<> keep_messages(asio::thread_pool& worker, UniqueFd pipe, std::filesystem::path log_path);

}  // namespace wso::domain
