// Reads and writes the messages of the control socket; knows neither sockets nor methods.
#include <wso/api/rpc.hpp>

namespace wso::api {
namespace {

// Ids and method names come back in answers and in the log.
constexpr std::size_t text_limit = 128;

constexpr std::string_view version = "2.0";

std::string line_of(const Json& message) { return dump_json(message) + '\n'; }

void expect_version(const Json& message) {
  if (text_field(message, "jsonrpc") != version)
    throw Error(Errc::protocol, "'jsonrpc' must be \"{}\"", version);
}

Json parse_message(std::string_view line) {
  try {
    return parse_json(line);
  } catch (const Error& error) {
    throw RequestError{parse_error, error.what(), nullptr};
  }
}

Json request_id(const Json& message) {
  const auto found = message.find("id");
  if (found == message.end()) return nullptr;
  const bool short_text =
      found->is_string() && found->get_ref<const std::string&>().size() <= text_limit;
  if (found->is_number_integer() || short_text) return *found;
  throw RequestError{
      invalid_request,
      fmt::format("'id' must be a whole number or a string of at most {} bytes", text_limit),
      nullptr};
}

std::string request_method(const Json& message) {
  std::string method = text_field(message, "method");
  if (method.empty() || method.size() > text_limit)
    throw Error(Errc::protocol, "'method' must have from 1 to {} bytes", text_limit);
  return method;
}

Errc errc_of(int code) {
  switch (code) {
    case method_not_found:
      return Errc::not_found;
    case invalid_params:
      return Errc::invalid_argument;
    default:
      return Errc::protocol;
  }
}

std::string format_error(const Json& id, int code, Errc errc, std::string_view sentence) {
  return line_of(
      {{"jsonrpc", version},
       {"id", id},
       {"error", {{"code", code}, {"message", sentence}, {"data", {{"code", name(errc)}}}}}});
}

Error parse_error_object(const Json& error) {
  const std::string sentence = text_field(error, "message");
  const Json* data = find_field(error, "data");
  const auto word = data == nullptr ? std::nullopt : optional_text(*data, "code");
  return {word ? parse_errc(*word) : Errc::internal, "{}", sentence};
}

// Throws unless it is a reply to the request with this id.
void expect_reply(const Json& reply, const Json& id) {
  expect_version(reply);
  const auto reply_id = reply.find("id");
  if (reply_id == reply.end()) throw Error(Errc::protocol, "'id' is missing");
  const bool is_error = find_field(reply, "error") != nullptr;
  // An error without an id answers a request that the server could not read: ours.
  if (*reply_id != id && !(is_error && reply_id->is_null()))
    throw Error(Errc::protocol, "it answers another request");
  if (reply.contains("result") == is_error)
    throw Error(Errc::protocol, "either 'result' or 'error' is expected");
}

}  // namespace

Request parse_request(std::string_view line) {
  const Json message = parse_message(line);
  if (message.is_array())
    throw RequestError{invalid_request,
                       "batches are not served: send each request on a line of its own", nullptr};
  if (!message.is_object())
    throw RequestError{invalid_request, "a request must be an object", nullptr};
  Request request;
  request.id = request_id(message);
  try {
    expect_object(message, {"jsonrpc", "id", "method", "params"});
    expect_version(message);
    request.method = request_method(message);
  } catch (const Error& error) {
    throw RequestError{invalid_request, error.what(), request.id};
  }
  if (const Json* params = find_field(message, "params")) request.params = *params;
  if (!request.params.is_object())
    throw RequestError{invalid_params, "'params' must be an object: parameters go by name",
                       request.id};
  return request;
}

std::string format_request(const Request& request) {
  Json message = {{"jsonrpc", version}, {"method", request.method}, {"params", request.params}};
  if (!request.id.is_null()) message["id"] = request.id;
  return line_of(message);
}

std::string format_notification(std::string_view method, const Json& params) {
  return line_of({{"jsonrpc", version}, {"method", method}, {"params", params}});
}

Request parse_notification(std::string_view line) {
  try {
    Request request = parse_request(line);
    if (!request.id.is_null()) throw Error(Errc::protocol, "it is a request");
    return request;
  } catch (const RequestError& error) {
    throw Error(Errc::protocol, "the notification cannot be understood: {}", error.sentence);
  }
}

std::string format_result(const Json& id, const Json& result) {
  return line_of({{"jsonrpc", version}, {"id", id}, {"result", result}});
}

std::string format_error(const Json& id, const Error& error) {
  const int code = error.code() == Errc::invalid_argument ? invalid_params : server_error;
  return format_error(id, code, error.code(), error.what());
}

std::string format_error(const RequestError& error) {
  return format_error(error.id, error.code, errc_of(error.code), error.sentence);
}

Json parse_reply(std::string_view line, const Json& id) {
  std::optional<Error> refusal;
  try {
    Json reply = parse_json(line);
    expect_reply(reply, id);
    const Json* error = find_field(reply, "error");
    if (error == nullptr) return std::move(*reply.find("result"));
    refusal = parse_error_object(*error);
  } catch (const Error& error) {
    throw error.with_context("the answer cannot be understood");
  }
  throw *std::move(refusal);
}

}  // namespace wso::api
