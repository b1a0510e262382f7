// What wsoctl writes: results to standard output, one line a failure to standard error.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include <wso/base/json.hpp>

namespace wso::wsoctl {

// Throws Errc::io if it cannot be written, as on a full disk.
void print(std::string_view text);
void print_json(const Json& document);

// "wsoctl: sentence", whatever the sentence holds.
void print_failure(std::string_view sentence);

// A line on standard error that is no failure.
void print_note(std::string_view sentence);

// Seconds since the epoch as local time; empty for 0.
std::string format_time(std::int64_t seconds);

}  // namespace wso::wsoctl
