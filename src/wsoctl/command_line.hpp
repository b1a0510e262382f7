// What the sources that understand the command line share.
#pragma once

#include <charconv>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include <CLI/CLI.hpp>

#include <wso/base/error.hpp>

#include "commands.hpp"
#include "offline.hpp"

namespace wso::wsoctl {

struct CommandLine {
  std::string socket_path = "/run/wso/wsod.sock";
  std::string workdir = "/var/lib/wso";
  bool json = false;
  bool version = false;  // the one command that asks no daemon
  std::function<ExitStatus(Session&)> command;
  std::function<void(const Offline&)> without_daemon;  // what some commands do if none answers
};

template <typename T>
T parse_within(std::string_view text, T min, T max) {
  T number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc() || end != text.data() + text.size() || number < min || number > max)
    throw Error(Errc::invalid_argument, "a whole number from {} to {} is expected", min, max);
  return number;
}

inline int parse_count(std::string_view text, int max) { return parse_within(text, 1, max); }

// Seconds from 0 to a day, to the millisecond: "0.5".
std::int64_t parse_milliseconds(std::string_view text);

// An option whose text `parse` understands. `target` must outlive the parsing.
template <typename T>
CLI::Option* add_parsed(CLI::App& app, const std::string& name, std::optional<T>& target,
                        T (*parse)(std::string_view), const std::string& type,
                        const std::string& help) {
  const auto understand = [&target, parse, name](const std::string& text) {
    try {
      target = parse(text);
    } catch (const Error& error) {
      throw error.with_context(fmt::format("{} {}", name, text));
    }
  };
  return app.add_option_function<std::string>(name, understand, help)->type_name(type);
}

void add_launch(CLI::App& app, CommandLine& line);
// start, stop, reboot, reset, pause, resume, destroy
void add_verbs(CLI::App& app, CommandLine& line);

}  // namespace wso::wsoctl
