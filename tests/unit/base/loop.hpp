// Runs coroutines in a test: no test sleeps, and none waits for ever.
#pragma once

#include <chrono>
#include <future>
#include <stdexcept>
#include <utility>

#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/use_future.hpp>

#include <wso/base/task.hpp>

namespace wso::test {

class Loop {
 public:
  static constexpr std::chrono::seconds patience{20};

  asio::io_context io;

  template <typename T>
  std::future<T> start(Task<T> task) {
    return asio::co_spawn(io, std::move(task), asio::use_future);
  }

  // The same, to be cancelled through the signal.
  template <typename T>
  std::future<T> start(Task<T> task, asio::cancellation_signal& signal) {
    return asio::co_spawn(io, std::move(task),
                          asio::bind_cancellation_slot(signal.slot(), asio::use_future));
  }

  // Runs the loop until the condition holds.
  template <typename Condition>
  void until(Condition condition) {
    const auto end = Clock::now() + patience;
    while (!condition()) {
      io.restart();
      if (io.run_one_until(end) == 0 && Clock::now() >= end)
        throw std::runtime_error("the test waited in vain");
    }
  }

  template <typename T>
  T finish(std::future<T>& result) {
    until([&result] { return ready(result); });
    return result.get();
  }

  // The error that the coroutine must end with.
  template <typename T>
  Error failure(std::future<T>& result) {
    try {
      finish(result);
    } catch (...) {
      return as_error(std::current_exception());
    }
    throw std::logic_error("a failure was expected");
  }

  template <typename T>
  T run(Task<T> task) {
    auto result = start(std::move(task));
    return finish(result);
  }

  template <typename T>
  Error failure_of(Task<T> task) {
    auto result = start(std::move(task));
    return failure(result);
  }

  // Runs whatever can run now.
  void settle() {
    io.restart();
    io.poll();
  }

  template <typename T>
  static bool ready(const std::future<T>& result) {
    return result.wait_for(std::chrono::seconds(0)) == std::future_status::ready;
  }
};

// Ends only by cancellation.
inline Task<> wait_for_ever() {
  asio::steady_timer never(co_await asio::this_coro::executor, Clock::time_point::max());
  co_await never.async_wait(asio::use_awaitable);
}

// Gives way to the loop once.
inline Task<> yield() {
  co_await asio::post(co_await asio::this_coro::executor, asio::use_awaitable);
}

}  // namespace wso::test
