// JSON-RPC 2.0 on the control socket, without I/O: one message a line.
// Source: https://www.jsonrpc.org/specification; batches are refused, as requests may overlap
// anyway.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

#include <wso/base/error.hpp>
#include <wso/base/json.hpp>

namespace wso::api {

// A longer line is refused and the connection closed.
inline constexpr std::size_t message_limit = 1024 * 1024;

struct Request {
  Json id;  // null for a notification
  std::string method;
  Json params = Json::object();
  bool operator==(const Request&) const = default;
};

// JSON-RPC's own codes, and the one for whatever it has none for.
inline constexpr int parse_error = -32700;
inline constexpr int invalid_request = -32600;
inline constexpr int method_not_found = -32601;
inline constexpr int invalid_params = -32602;
inline constexpr int server_error = -32000;

// A request that cannot be understood; code is JSON-RPC's, id is what could be read.
struct RequestError {
  int code = 0;
  std::string sentence;
  Json id;
};

// Throws RequestError. Members that JSON-RPC does not know are refused, as is an explicit null id:
// whoever sends one waits for an answer that a notification never gets.
Request parse_request(std::string_view line);

// Each is one line with its end.
std::string format_request(const Request& request);
std::string format_notification(std::string_view method, const Json& params);
std::string format_result(const Json& id, const Json& result);
// "code" is invalid_params for Errc::invalid_argument, else server_error; "data" holds wso's own
// code as a word (wso::name(Errc)).
std::string format_error(const Json& id, const Error& error);
std::string format_error(const RequestError& error);

// A line that the server sends unasked. Throws Errc::protocol.
Request parse_notification(std::string_view line);

// The result of a reply line to the request with this id. The Error that the server sent is thrown;
// a line that is no reply to this request is Errc::protocol.
Json parse_reply(std::string_view line, const Json& id);

}  // namespace wso::api
