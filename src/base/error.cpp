#include <array>
#include <cstring>

#include <boost/asio/error.hpp>
#include <boost/system/system_error.hpp>

#include <wso/base/error.hpp>

namespace wso {
namespace {

constexpr std::array<std::pair<Errc, std::string_view>, 15> names{{
    {Errc::invalid_argument, "invalid_argument"},
    {Errc::not_found, "not_found"},
    {Errc::already_exists, "already_exists"},
    {Errc::busy, "busy"},
    {Errc::wrong_state, "wrong_state"},
    {Errc::permission, "permission"},
    {Errc::timeout, "timeout"},
    {Errc::disconnected, "disconnected"},
    {Errc::cancelled, "cancelled"},
    {Errc::protocol, "protocol"},
    {Errc::kernel, "kernel"},
    {Errc::process, "process"},
    {Errc::io, "io"},
    {Errc::no_space, "no_space"},
    {Errc::internal, "internal"},
}};

Errc errc_of(int error_number) {
  switch (error_number) {
    case EPERM:
    case EACCES:
      return Errc::permission;
    case ENOENT:
      return Errc::not_found;
    case EEXIST:
      return Errc::already_exists;
    case ETIMEDOUT:
      return Errc::timeout;
    case ENOSPC:
    case EDQUOT:
      return Errc::no_space;
    default:
      return Errc::io;
  }
}

}  // namespace

std::string_view name(Errc code) {
  for (const auto& [errc, word] : names)
    if (errc == code) return word;
  return "internal";
}

Errc parse_errc(std::string_view word) {
  for (const auto& [errc, text] : names)
    if (text == word) return errc;
  return Errc::internal;
}

Error Error::with_context(std::string_view context) const {
  return {code_, "{}: {}", context, what()};
}

void throw_errno(std::string_view what, int error_number) {
  throw Error(errc_of(error_number), "{}: {}", what, ::strerrordesc_np(error_number));
}

Error as_error(const std::exception_ptr& error) {
  try {
    std::rethrow_exception(error);
  } catch (const Error& e) {
    return e;
  } catch (const boost::system::system_error& e) {
    const bool cancelled = e.code() == boost::asio::error::operation_aborted;
    return {cancelled ? Errc::cancelled : Errc::io, "{}",
            cancelled ? std::string("cancelled") : e.code().message()};
  } catch (const std::exception& e) {
    return {Errc::internal, "{}", e.what()};
  } catch (...) {
    return {Errc::internal, "unknown failure"};
  }
}

std::string describe(const std::exception_ptr& error) { return as_error(error).what(); }

}  // namespace wso
