#include "streams.hpp"

#include <array>

#include <boost/asio/experimental/awaitable_operators.hpp>
#include <boost/asio/write.hpp>

#include <wso/api/rpc.hpp>
#include <wso/base/error.hpp>
#include <wso/domain/console.hpp>
#include <wso/domain/log_reader.hpp>

namespace wso::wsod {
namespace {

using domain::Console;
using domain::LogReader;

constexpr std::size_t past_bytes = 4 * 1024;
constexpr std::int64_t most_lines = 1'000'000'000;

std::string format_batch(const EventBatch& batch) {
  std::string lines;
  const auto add = [&lines](std::string_view method, Json params) {
    lines += api::format_notification(method, params);
  };
  if (batch.missed_to != 0) add("missed", {{"from", batch.missed_from}, {"to", batch.missed_to}});
  for (const Event& event : batch.events)
    add("event", {{"number", event.number},
                  {"time_ms", event.time_ms},
                  {"event", event.event},
                  {"domain_name", event.domain_name},
                  {"details", event.details}});
  return lines;
}

// The first of two to end, by whatever; the other is cancelled.
Task<> first_of(Task<> one, Task<> other) {
  using namespace asio::experimental::awaitable_operators;  // NOLINT(google-build-using-namespace)
  auto guarded_one = detail::outcome_of(std::move(one));
  auto guarded_other = detail::outcome_of(std::move(other));
  co_await (std::move(guarded_one) || std::move(guarded_other));
}

Task<> send_output(std::shared_ptr<Console> console, ClientSocket& socket) {
  Console::Position position = console->recent(past_bytes);
  while (true) {
    const std::string bytes = co_await console->read(position);
    if (bytes.empty()) co_return;
    co_await asio::async_write(socket, asio::buffer(bytes), asio::use_awaitable);
  }
}

// Without a writer the input is only read, for the end of it to be seen.
Task<> take_input(std::shared_ptr<Console::Writer> writer, ClientSocket& socket,
                  std::string received) {
  std::array<char, 4096> chunk;
  while (true) {
    if (writer && !received.empty()) co_await writer->write(std::move(received));
    const auto size = co_await socket.async_read_some(asio::buffer(chunk), asio::use_awaitable);
    received.assign(chunk.data(), size);
  }
}

Task<> serve_console(std::shared_ptr<Console> console, std::shared_ptr<Console::Writer> writer,
                     ClientSocket& socket, std::string received) {
  auto output = send_output(std::move(console), socket);
  auto input = take_input(std::move(writer), socket, std::move(received));
  auto both = first_of(std::move(output), std::move(input));
  // A guest that takes no input keeps it from being read, and the end of it from being seen.
  co_await first_of(std::move(both), hang_up(socket));
}

RawStream open_console(Context& context, const Json& params) {
  expect_object(params, {"domain_name", "write"});
  auto console = context.server.console(text_field(params, "domain_name"));
  std::shared_ptr<Console::Writer> writer;
  if (optional_bool(params, "write", false)) writer = Console::take_writer(console);
  return [console, writer](ClientSocket& socket, std::string received) {
    return serve_console(console, writer, socket, std::move(received));
  };
}

Task<> send_log(std::shared_ptr<LogReader> log, ClientSocket& socket) {
  while (true) {
    const std::string bytes = co_await log->next();
    if (bytes.empty()) co_return;
    co_await asio::async_write(socket, asio::buffer(bytes), asio::use_awaitable);
  }
}

LogSource parse_source(const std::string& word) {
  if (word == "console") return LogSource::console;
  if (word == "qemu") return LogSource::qemu;
  throw Error(Errc::invalid_argument, "'source' is '{}': use console or qemu", word);
}

Task<RawStream> open_logs(Context& context, Json params) {
  expect_object(params, {"domain_name", "source", "tail", "follow"});
  const LogSource source = parse_source(optional_text(params, "source").value_or("console"));
  domain::LogRange range;
  range.tail = optional_integer(params, "tail", 0, most_lines);
  range.follow = optional_bool(params, "follow", false);
  auto log = co_await context.server.open_log(text_field(params, "domain_name"), source, range);
  co_return [log](ClientSocket& socket, const std::string& /*received*/) {
    return first_of(send_log(log, socket), hang_up(socket));
  };
}

}  // namespace

bool is_raw_stream(std::string_view method) {
  return method == "domain.console" || method == "domain.logs";
}

Task<RawStream> open_raw_stream(Context& context, std::string method, Json params) {
  if (method == "domain.console") co_return open_console(context, params);
  co_return co_await open_logs(context, std::move(params));
}

std::int64_t parse_subscription(const Context& context, const Json& params) {
  expect_object(params, {"since"});
  const std::int64_t newest = context.server.last_event();
  const std::int64_t since = optional_integer(params, "since").value_or(newest);
  if (since > newest)
    throw Error(Errc::invalid_argument, "'since' is {}, and the newest event has the number {}",
                since, newest);
  return since;
}

Task<> send_events(Context& context, std::shared_ptr<Session> session, std::int64_t after) {
  while (true) {
    const EventBatch batch = co_await context.server.next_events(after);
    after = batch.last();
    session->send(format_batch(batch));
    co_await session->flushed();
  }
}

}  // namespace wso::wsod
