#include <algorithm>

#include <boost/asio/redirect_error.hpp>

#include <wso/domain/event_log.hpp>

namespace wso::domain {
namespace {

template <typename Unit>
std::int64_t since_epoch() {
  return std::chrono::duration_cast<Unit>(std::chrono::system_clock::now().time_since_epoch())
      .count();
}

Json bounded(Json details) {
  const std::size_t size = dump_json(details).size();
  if (size <= EventLog::details_limit) return details;
  return {{"omitted_bytes", size}};
}

}  // namespace

EventLog::EventLog(asio::any_io_executor executor)
    : EventLog(std::move(executor), since_epoch<std::chrono::microseconds>()) {}

EventLog::EventLog(asio::any_io_executor executor, std::int64_t first_number)
    : first_number_(first_number),
      next_number_(first_number),
      appended_(executor, Clock::time_point::max()) {}

void EventLog::append(std::string event, std::string domain_name, Json details) {
  if (events_.size() == kept_events) events_.pop_front();
  events_.push_back({next_number_++, since_epoch<milliseconds>(), std::move(event),
                     std::move(domain_name), bounded(std::move(details))});
  appended_.cancel();
}

EventBatch EventLog::newer_than(std::int64_t after) const {
  EventBatch batch;
  const std::int64_t oldest = next_number_ - static_cast<std::int64_t>(events_.size());
  // Who asks for all does not miss what no run of this server had.
  const std::int64_t wanted = after == 0 ? first_number_ : after + 1;
  if (wanted < oldest) {
    batch.missed_from = wanted;
    batch.missed_to = oldest - 1;
  }
  for (auto number = std::max(wanted, oldest);
       number < next_number_ && batch.events.size() < batch_limit; ++number)
    batch.events.push_back(events_[static_cast<std::size_t>(number - oldest)]);
  return batch;
}

Task<EventBatch> EventLog::next(std::int64_t after) {
  while (true) {
    EventBatch batch = newer_than(after);
    if (batch.last() != 0) co_return batch;
    boost::system::error_code woken;
    co_await appended_.async_wait(asio::redirect_error(asio::use_awaitable, woken));
  }
}

}  // namespace wso::domain
