// A log file that grows to a limit and then makes way for a new one, the one before it being kept
// beside it (previous_log() of domain/plan.hpp). Blocking: for the worker thread.
#pragma once

#include <cstddef>
#include <filesystem>
#include <string_view>

namespace wso::domain {

// Of a log of what a guest or its QEMU prints, in bytes; and as much for the one before.
inline constexpr std::size_t log_limit = 1024 * 1024;

// Makes an empty log if there is none.
void create_log(const std::filesystem::path& path);

// Appends, and starts a new file first if this one would become larger than `limit`. A log that is
// not there is not made: its domain has been destroyed. False if so.
bool append_to_log(const std::filesystem::path& path, std::string_view bytes, std::size_t limit);

// The log becomes the previous one, in whose place it is put; nothing if there is none.
void put_log_aside(const std::filesystem::path& path);

// Removes the log and the previous one.
void remove_log(const std::filesystem::path& path);

}  // namespace wso::domain
