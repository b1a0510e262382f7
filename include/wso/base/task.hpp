// What every coroutine of wso is made of: Task, work sent to the worker thread, deadlines, undo on
// failure, and groups of background tasks. The only file that decides about cancellation.
#pragma once

#include <chrono>
#include <cstdint>
#include <exception>
#include <functional>
#include <list>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <variant>
#include <vector>

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/deferred.hpp>
#include <boost/asio/experimental/parallel_group.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/thread_pool.hpp>
#include <boost/asio/use_awaitable.hpp>

#include <wso/base/error.hpp>

namespace wso {

namespace asio = boost::asio;

template <typename T = void>
using Task = asio::awaitable<T>;

using Clock = std::chrono::steady_clock;
using std::chrono::milliseconds;

namespace detail {

// A value or the exception that stood in its way; T may be void.
template <typename T>
struct Outcome {
  std::exception_ptr error;
  std::optional<std::conditional_t<std::is_void_v<T>, std::monostate, T>> value;

  T get() {
    if (error) std::rethrow_exception(error);
    if constexpr (!std::is_void_v<T>) return std::move(*value);
  }
};

template <typename T, typename F>
Outcome<T> outcome_of(F& function) {
  Outcome<T> outcome;
  try {
    if constexpr (std::is_void_v<T>) {
      function();
    } else {
      outcome.value.emplace(function());
    }
  } catch (...) {
    outcome.error = std::current_exception();
  }
  return outcome;
}

template <typename T>
Task<Outcome<T>> outcome_of(Task<T> task) {
  Outcome<T> outcome;
  try {
    if constexpr (std::is_void_v<T>) {
      co_await std::move(task);
    } else {
      outcome.value.emplace(co_await std::move(task));
    }
  } catch (...) {
    outcome.error = std::current_exception();
  }
  co_return outcome;
}

// The task that `start` returns; if the call itself throws, so does the task.
template <typename F>
std::invoke_result_t<F&> started(F start) {
  co_return co_await start();
}

// Runs the task as a coroutine of its own, which a cancellation of the caller does not reach. One
// that arrives meanwhile is seen at the caller's next co_await.
template <typename T>
Task<T> shielded(Task<T> task) {
  const auto executor = co_await asio::this_coro::executor;
  // A completion handler without a cancellation slot is what keeps cancellation out.
  auto start = [executor, &task](auto handler) {
    asio::co_spawn(executor, outcome_of(std::move(task)),
                   [handler = std::move(handler)](const std::exception_ptr& /*none*/,
                                                  Outcome<T> outcome) mutable {
                     std::move(handler)(std::move(outcome));
                   });
  };
  auto outcome = co_await asio::async_initiate<const asio::use_awaitable_t<>, void(Outcome<T>)>(
      start, asio::use_awaitable);
  co_return outcome.get();
}

}  // namespace detail

// Runs a blocking function on the worker thread and resumes here with its result. It is never
// abandoned half way: a cancellation that arrives meanwhile is seen at the caller's next co_await,
// so what the function made always reaches an owner. g++ 12 destroys a lambda written inside the
// co_await expression twice: one that captures by value is to be named before.
template <typename F>
Task<std::invoke_result_t<F&>> offload(asio::thread_pool& worker, F function) {
  using T = std::invoke_result_t<F&>;
  const auto loop = co_await asio::this_coro::executor;
  auto start = [&worker, loop, &function](auto handler) {
    asio::post(worker, [loop, &function, handler = std::move(handler)]() mutable {
      auto outcome = detail::outcome_of<T>(function);
      asio::post(loop, [handler = std::move(handler), outcome = std::move(outcome)]() mutable {
        std::move(handler)(std::move(outcome));
      });
    });
  };
  auto outcome =
      co_await asio::async_initiate<const asio::use_awaitable_t<>, void(detail::Outcome<T>)>(
          start, asio::use_awaitable);
  co_return outcome.get();
}

Task<> pause_for(milliseconds time);
milliseconds since(Clock::time_point start);

// Waits for the task, at most for `limit`; past that the task is cancelled and Errc::timeout is
// thrown as "what: no answer within 500 ms". A task that is done all the same, because it ended in
// the same moment or cannot be cancelled half way, has not failed: what it made has an owner then.
template <typename T>
Task<T> with_deadline(std::string what, milliseconds limit, Task<T> task) {
  const auto executor = co_await asio::this_coro::executor;
  asio::steady_timer timer(executor, limit);
  auto guarded = asio::co_spawn(executor, detail::outcome_of(std::move(task)), asio::deferred);
  auto group =
      asio::experimental::make_parallel_group(std::move(guarded), timer.async_wait(asio::deferred));
  auto [order, refused, outcome, cancelled] =
      co_await group.async_wait(asio::experimental::wait_for_one(), asio::use_awaitable);
  if (refused) outcome.error = refused;  // to start at all
  const bool timed_out = !cancelled;
  if (timed_out && outcome.error && as_error(outcome.error).code() == Errc::cancelled)
    throw Error(Errc::timeout, "{}: no answer within {} ms", what, limit.count());
  co_return outcome.get();
}

// The undo steps of an operation in progress, the newest last.
class Rollback {
 public:
  using Step = std::function<Task<>()>;

  void add(std::string what, Step undo) { steps_.emplace_back(std::move(what), std::move(undo)); }

  // Runs all steps, the newest first, and never stops at a failure; returns what failed.
  Task<std::vector<std::string>> run();

 private:
  std::vector<std::pair<std::string, Step>> steps_;
};

// Runs body; if it throws or is cancelled, runs the undo steps that it has added, in reverse and
// out of reach of any cancellation, and throws the first error, to which what could not be undone
// is appended. `what` stands before the error's sentence.
template <typename T>
Task<T> with_rollback(std::string what, std::function<Task<T>(Rollback&)> body) {
  Rollback rollback;
  auto attempt = detail::started([&body, &rollback] { return body(rollback); });
  auto outcome = co_await detail::outcome_of(std::move(attempt));
  if (!outcome.error) co_return outcome.get();
  // A cancelled caller can start nothing more, its own clean-up included, without this.
  co_await asio::this_coro::throw_if_cancelled(false);
  const auto failures = co_await detail::shielded(rollback.run());
  co_await asio::this_coro::throw_if_cancelled(true);
  std::string sentence = describe(outcome.error);
  for (const auto& failure : failures) sentence += fmt::format("; and while undoing: {}", failure);
  throw Error(as_error(outcome.error).code(), "{}: {}", what, sentence);
}

// Background tasks with one owner: each logs its failure under its name, all can be cancelled, and
// the owner can wait until none is left. Must outlive its tasks: cancel() and join() first.
class TaskGroup {
 public:
  explicit TaskGroup(asio::any_io_executor executor);
  TaskGroup(const TaskGroup&) = delete;
  TaskGroup& operator=(const TaskGroup&) = delete;
  ~TaskGroup() = default;

  void spawn(std::string name, Task<> task);
  void cancel();
  Task<> join();
  [[nodiscard]] std::size_t size() const { return running_.size(); }
  [[nodiscard]] const asio::any_io_executor& executor() const { return executor_; }

 private:
  asio::any_io_executor executor_;
  std::list<asio::cancellation_signal> running_;
  asio::steady_timer empty_;
};

// Wakes whoever waits for something to change; what has changed they look up themselves, again.
class Signal {
 public:
  explicit Signal(const asio::any_io_executor& executor);
  Signal(const Signal&) = delete;
  Signal& operator=(const Signal&) = delete;
  ~Signal() = default;

  // Until the next notify(). Only a cancellation ends it earlier, by an exception.
  Task<> wait();
  void notify();

 private:
  asio::steady_timer timer_;
  std::uint64_t n_notified_ = 0;
};

// Lets at most so many coroutines of one executor pass at a time.
class Semaphore {
 public:
  Semaphore(const asio::any_io_executor& executor, std::size_t places);
  Semaphore(const Semaphore&) = delete;
  Semaphore& operator=(const Semaphore&) = delete;
  ~Semaphore() = default;

  // A place that is given back when it goes out of scope.
  class Place {
   public:
    explicit Place(Semaphore& semaphore) : semaphore_(&semaphore) {}
    Place(Place&& other) noexcept : semaphore_(std::exchange(other.semaphore_, nullptr)) {}
    Place& operator=(Place&&) = delete;
    Place(const Place&) = delete;
    Place& operator=(const Place&) = delete;
    ~Place();

   private:
    Semaphore* semaphore_;
  };

  Task<Place> enter();

 private:
  std::size_t free_;
  asio::steady_timer freed_;
};

}  // namespace wso
