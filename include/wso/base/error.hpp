// The one exception type that wso throws. Thrown where a failure is found, given context on the way
// up, caught only at boundaries (with_rollback, a request, the task of one domain, main).
#pragma once

#include <cerrno>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>

#include <fmt/format.h>

namespace wso {

enum class Errc {
  invalid_argument,
  not_found,
  already_exists,
  busy,
  wrong_state,  // the domain is in a state in which this cannot be done
  permission,
  timeout,
  disconnected,
  cancelled,
  protocol,
  kernel,
  process,
  io,
  no_space,  // a disk or a quota is full
  internal,
};

// The word that stands for the code on the wire and in logs, such as "not_found".
std::string_view name(Errc code);

// The code for a word that name() returned; Errc::internal for any other word.
Errc parse_errc(std::string_view word);

class Error : public std::runtime_error {
 public:
  template <typename... Args>
  Error(Errc code, fmt::format_string<Args...> format, Args&&... args)
      : std::runtime_error(fmt::format(format, std::forward<Args>(args)...)), code_(code) {}

  [[nodiscard]] Errc code() const { return code_; }

  // The same error with "context: " before its sentence.
  [[nodiscard]] Error with_context(std::string_view context) const;

 private:
  Errc code_;
};

// Throws an Error whose code fits the errno value, as "what: No such file or directory".
[[noreturn]] void throw_errno(std::string_view what, int error_number = errno);

// The sentence of any exception, for logs and for the wire.
std::string describe(const std::exception_ptr& error);

// Any exception as an Error; a cancelled Asio operation becomes Errc::cancelled.
Error as_error(const std::exception_ptr& error);

}  // namespace wso
