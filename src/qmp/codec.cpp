// One line of QMP, read and written. Unknown members are let through, as the specification asks.
#include <wso/base/error.hpp>
#include <wso/qmp/codec.hpp>

namespace wso::qmp {
namespace {

Greeting parse_greeting(const Json& body) {
  const Json* version = find_field(body, "version");
  const Json* qemu = version == nullptr ? nullptr : find_field(*version, "qemu");
  if (qemu == nullptr) throw Error(Errc::protocol, "a greeting without 'version' and 'qemu'");
  return {fmt::format("{}.{}.{}", integer_field(*qemu, "major"), integer_field(*qemu, "minor"),
                      integer_field(*qemu, "micro"))};
}

std::optional<std::uint64_t> optional_id(const Json& object) {
  const auto id = optional_integer(object, "id");
  return id ? std::optional(static_cast<std::uint64_t>(*id)) : std::nullopt;
}

Reply parse_reply(const Json& object, const Json& result) {
  return {static_cast<std::uint64_t>(integer_field(object, "id")), result};
}

Refusal parse_refusal(const Json& object, const Json& body) {
  return {optional_id(object), text_field(body, "class"), text_field(body, "desc")};
}

Event parse_event(const Json& object) {
  const Json* data = find_field(object, "data");
  if (data != nullptr && !data->is_object())
    throw Error(Errc::protocol, "'data' must be an object");
  const Json* time = find_field(object, "timestamp");
  if (time == nullptr) throw Error(Errc::protocol, "'timestamp' is missing");
  // -1 stands for a clock that QEMU could not read.
  return {text_field(object, "event"), data == nullptr ? Json::object() : *data,
          integer_field(*time, "seconds", -1), integer_field(*time, "microseconds", -1)};
}

Message parse_object(const Json& object) {
  const Json* greeting = find_field(object, "QMP");
  const Json* result = find_field(object, "return");
  const Json* error = find_field(object, "error");
  const Json* event = find_field(object, "event");
  const int kinds = int{greeting != nullptr} + int{result != nullptr} + int{error != nullptr} +
                    int{event != nullptr};
  if (kinds != 1)
    throw Error(Errc::protocol, "one of 'QMP', 'return', 'error' and 'event' is expected");
  if (greeting != nullptr) return parse_greeting(*greeting);
  if (result != nullptr) return parse_reply(object, *result);
  if (error != nullptr) return parse_refusal(object, *error);
  return parse_event(object);
}

}  // namespace

void LineDecoder::append(std::string_view bytes) {
  if (start_ > 0) {
    // A new string, so that one huge line does not keep its memory for the connection's life.
    buffer_ = buffer_.substr(start_);
    scanned_ -= start_;
    start_ = 0;
  }
  buffer_ += bytes;
}

std::optional<std::string> LineDecoder::next() {
  for (;;) {
    const auto end = buffer_.find('\n', scanned_);
    const bool whole = end != std::string::npos;
    scanned_ = whole ? end + 1 : buffer_.size();
    std::string_view line(buffer_);
    line = line.substr(start_, (whole ? end : buffer_.size()) - start_);
    if (line.size() > limit_) throw Error(Errc::protocol, "a line is longer than {} bytes", limit_);
    if (!whole) return std::nullopt;
    start_ = scanned_;
    if (line.ends_with('\r')) line.remove_suffix(1);
    if (!line.empty()) return std::string(line);
  }
}

std::string excerpt(std::string_view text) {
  constexpr std::size_t shown = 200;
  std::string quoted = dump_json(std::string(text.substr(0, shown)));
  if (text.size() > shown) quoted += "...";
  return quoted;
}

Message parse_message(std::string_view line) {
  try {
    return parse_object(parse_json(line));
  } catch (const Error& error) {
    throw error.with_context(fmt::format("not a QMP message: {}", excerpt(line)));
  }
}

std::string format_command(std::string_view command, const Json& arguments, std::uint64_t id) {
  Json request;
  request["execute"] = command;
  if (!arguments.empty()) request["arguments"] = arguments;
  request["id"] = id;
  return dump_json(request) + "\n";
}

}  // namespace wso::qmp
