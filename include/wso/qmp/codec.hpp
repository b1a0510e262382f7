// QMP on the wire, without I/O: bytes in, messages out. QEMU is not trusted.
// Source: docs/interop/qmp-spec.txt of QEMU.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <variant>

#include <wso/base/json.hpp>

namespace wso::qmp {

// A longer line is Errc::protocol; libvirt's bound is the same.
inline constexpr std::size_t message_limit = 10 * 1024 * 1024;

// Cuts a byte stream into lines. Whoever calls next() until it has no more, after each append(),
// holds at most `limit` bytes of an unfinished line.
class LineDecoder {
 public:
  explicit LineDecoder(std::size_t limit = message_limit) : limit_(limit) {}
  void append(std::string_view bytes);
  // The next whole line without its end ("\r\n" or "\n"); empty lines are skipped. Errc::protocol
  // for a line past the limit, whole or not.
  std::optional<std::string> next();

 private:
  std::size_t limit_;
  std::string buffer_;
  std::size_t start_ = 0;    // of the first line not handed out
  std::size_t scanned_ = 0;  // no line end stands before it
};

struct Greeting {
  std::string version;  // "7.2.22"
  bool operator==(const Greeting&) const = default;
};

struct Reply {
  std::uint64_t id = 0;
  Json result;
  bool operator==(const Reply&) const = default;
};

struct Refusal {
  std::optional<std::uint64_t> id;  // QEMU leaves it out when it could not read the request
  std::string error_class;          // "GenericError", "CommandNotFound", ...
  std::string description;
  bool operator==(const Refusal&) const = default;
};

struct Event {
  std::string name;  // "SHUTDOWN", "RESET", ...
  Json data;         // {} if it has none
  std::int64_t seconds = 0;
  std::int64_t microseconds = 0;
  bool operator==(const Event&) const = default;
};

using Message = std::variant<Greeting, Reply, Refusal, Event>;

// Errc::protocol for anything that is not one of the four.
Message parse_message(std::string_view line);

// QEMU's words in quotes, escaped and shortened: fit for an error's sentence and for a log.
std::string excerpt(std::string_view text);

// One line, its end included.
std::string format_command(std::string_view command, const Json& arguments, std::uint64_t id);

}  // namespace wso::qmp
