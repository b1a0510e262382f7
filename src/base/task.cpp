#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/redirect_error.hpp>

#include <wso/base/log.hpp>
#include <wso/base/task.hpp>

namespace wso {

Task<> pause_for(milliseconds time) {
  asio::steady_timer timer(co_await asio::this_coro::executor, time);
  co_await timer.async_wait(asio::use_awaitable);
}

milliseconds since(Clock::time_point start) {
  return std::chrono::duration_cast<milliseconds>(Clock::now() - start);
}

Task<std::vector<std::string>> Rollback::run() {
  std::vector<std::string> failures;
  while (!steps_.empty()) {
    auto [what, undo] = std::move(steps_.back());
    steps_.pop_back();
    auto attempt = detail::started(std::move(undo));
    auto outcome = co_await detail::outcome_of(std::move(attempt));
    if (!outcome.error) continue;
    failures.push_back(fmt::format("{}: {}", what, describe(outcome.error)));
    log::error("undo: {}", failures.back());
  }
  co_return failures;
}

TaskGroup::TaskGroup(asio::any_io_executor executor)
    : executor_(std::move(executor)), empty_(executor_, Clock::time_point::max()) {}

void TaskGroup::spawn(std::string name, Task<> task) {
  const auto signal = running_.emplace(running_.end());
  auto done = [this, signal, name = std::move(name)](const std::exception_ptr& error) {
    if (error) {
      const Error failure = as_error(error);
      if (failure.code() == Errc::cancelled) {
        log::debug("{}: {}", name, failure.what());
      } else {
        log::error("{}: {}", name, failure.what());
      }
    }
    running_.erase(signal);
    if (running_.empty()) empty_.cancel();
  };
  asio::co_spawn(executor_, std::move(task),
                 asio::bind_cancellation_slot(signal->slot(), std::move(done)));
}

void TaskGroup::cancel() {
  // A task that ends at once removes its own entry.
  for (auto signal = running_.begin(); signal != running_.end();)
    (signal++)->emit(asio::cancellation_type::terminal);
}

Task<> TaskGroup::join() {
  while (!running_.empty()) {
    boost::system::error_code woken;
    co_await empty_.async_wait(asio::redirect_error(asio::use_awaitable, woken));
  }
}

Signal::Signal(const asio::any_io_executor& executor)
    : timer_(executor, Clock::time_point::max()) {}

Task<> Signal::wait() {
  const std::uint64_t seen = n_notified_;
  boost::system::error_code woken;
  co_await timer_.async_wait(asio::redirect_error(asio::use_awaitable, woken));
  if (n_notified_ == seen) throw boost::system::system_error(woken);  // cancelled
}

void Signal::notify() {
  ++n_notified_;
  timer_.cancel();
}

Semaphore::Semaphore(const asio::any_io_executor& executor, std::size_t places)
    : free_(places), freed_(executor, Clock::time_point::max()) {}

Task<Semaphore::Place> Semaphore::enter() {
  while (free_ == 0) {
    boost::system::error_code woken;
    co_await freed_.async_wait(asio::redirect_error(asio::use_awaitable, woken));
  }
  --free_;
  co_return Place(*this);
}

Semaphore::Place::~Place() {
  if (semaphore_ == nullptr) return;
  ++semaphore_->free_;
  // All waiters, not one: the one that is woken may be cancelled before it runs.
  semaphore_->freed_.cancel();
}

}  // namespace wso
