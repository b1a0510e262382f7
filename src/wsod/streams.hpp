// The methods of the control socket whose answer does not end with their result line.
//
//   events.subscribe {"since": N}: {"next": N}, the number that the next new event will have; then,
//     between the answers to other requests, a notification {"method": "event", "params":
//     {"number", "time_ms", "event", "domain_name", "details"}} for each event newer than `since`
//     (none: for new ones), and {"method": "missed", "params": {"from", "to"}} for numbers that are
//     lost.
//   domain.console {"domain_name", "write": bool}: {}; from then on the connection is the console,
//     raw bytes in both directions, beginning with the last 4 KiB of its past.
//   domain.logs {"domain_name", "source": "console" or "qemu", "tail": N, "follow": bool}: {}; then
//     the raw bytes of the log up to its end, where the daemon closes the connection.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "methods.hpp"
#include "session.hpp"

namespace wso::wsod {

// What a connection does that has become a stream of bytes. `received` is what the client has sent
// already.
using RawStream = std::function<Task<>(ClientSocket& socket, std::string received)>;

[[nodiscard]] bool is_raw_stream(std::string_view method);
Task<RawStream> open_raw_stream(Context& context, std::string method, Json params);

// The number of the event that the subscription begins after.
std::int64_t parse_subscription(const Context& context, const Json& params);
// Sends events until it is cancelled. Takes no more of them while the client does not read.
Task<> send_events(Context& context, std::shared_ptr<Session> session, std::int64_t after);

}  // namespace wso::wsod
