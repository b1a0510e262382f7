// The last events of a server, in memory, for any number of readers. No reader has a queue: one
// that is slow falls behind in the log, and is told the numbers that it has missed.
#pragma once

#include <cstdint>
#include <deque>
#include <string>

#include <wso/base/task.hpp>
#include <wso/event.hpp>

namespace wso::domain {

class EventLog {
 public:
  static constexpr std::size_t kept_events = 1000;
  static constexpr std::size_t batch_limit = 100;
  // What QEMU tells may be of any size; larger details are replaced by their size.
  static constexpr std::size_t details_limit = 8 * 1024;

  // Numbers count from the microseconds since the epoch. So they go on growing when the daemon
  // starts anew, without any state on disk: no run has an event a microsecond. JSON readers that
  // keep numbers as double keep these exactly until the year 2255.
  explicit EventLog(asio::any_io_executor executor);
  EventLog(asio::any_io_executor executor, std::int64_t first_number);

  void append(std::string event, std::string domain_name, Json details = Json::object());

  // Waits for events newer than `after`. 0 asks for all that are kept; a number of an earlier run
  // for all of this one, of which the numbers in between count as missed.
  Task<EventBatch> next(std::int64_t after);

  // The number of the newest event; before the first one, what is just below its number.
  [[nodiscard]] std::int64_t last() const { return next_number_ - 1; }

 private:
  [[nodiscard]] EventBatch newer_than(std::int64_t after) const;

  std::int64_t first_number_;
  std::int64_t next_number_;
  std::deque<Event> events_;
  asio::steady_timer appended_;  // cancelled to wake those who wait
};

}  // namespace wso::domain
