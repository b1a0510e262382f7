// The log of a wso program: lines on standard error, with a level each.
//   error: something is lost or left behind; warn: somebody should look; info: what a user asked
//   for was done; debug: how it was done.
#pragma once

#include <string_view>
#include <utility>

#include <fmt/format.h>

namespace wso::log {

enum class Level { debug, info, warn, error };

// Throws Errc::invalid_argument for a word that names no level.
Level parse_level(std::string_view word);
void set_level(Level level);
void write(Level level, std::string_view line);
bool enabled(Level level);

template <typename... Args>
void debug(fmt::format_string<Args...> format, Args&&... args) {
  if (enabled(Level::debug)) write(Level::debug, fmt::format(format, std::forward<Args>(args)...));
}
template <typename... Args>
void info(fmt::format_string<Args...> format, Args&&... args) {
  if (enabled(Level::info)) write(Level::info, fmt::format(format, std::forward<Args>(args)...));
}
template <typename... Args>
void warn(fmt::format_string<Args...> format, Args&&... args) {
  if (enabled(Level::warn)) write(Level::warn, fmt::format(format, std::forward<Args>(args)...));
}
template <typename... Args>
void error(fmt::format_string<Args...> format, Args&&... args) {
  write(Level::error, fmt::format(format, std::forward<Args>(args)...));
}

}  // namespace wso::log
