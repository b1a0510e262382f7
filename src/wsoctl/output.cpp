// The only place of wsoctl that writes results and failures.
#include "output.hpp"

#include <cstdio>
#include <ctime>

#include <wso/base/error.hpp>

#include "table.hpp"

namespace wso::wsoctl {

void print(std::string_view text) {
  const bool written = std::fwrite(text.data(), 1, text.size(), stdout) == text.size();
  if (!written || std::fflush(stdout) != 0) throw_errno("write the result");
}

void print_json(const Json& document) { print(dump_json(document) + '\n'); }

void print_failure(std::string_view sentence) {
  fmt::print(stderr, "wsoctl: {}\n", printable(sentence));
}

void print_note(std::string_view sentence) { fmt::print(stderr, "{}\n", printable(sentence)); }

std::string format_time(std::int64_t seconds) {
  if (seconds == 0) return {};
  const std::time_t time = seconds;
  std::tm local{};
  char text[64];
  // A year that does not fit an int has no calendar date.
  if (::localtime_r(&time, &local) == nullptr) return fmt::format("{} s", seconds);
  return {text, std::strftime(text, sizeof text, "%Y-%m-%d %H:%M:%S %Z", &local)};
}

}  // namespace wso::wsoctl
