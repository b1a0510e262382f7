// Deadlines, work on the worker thread and groups; undo has rollback_test.cpp.
#include <memory>
#include <thread>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "loop.hpp"

namespace wso {
namespace {

using test::Loop;
using testing::HasSubstr;

constexpr milliseconds soon{5};
constexpr milliseconds never = std::chrono::hours(1);

Task<int> answer() { co_return 42; }

Task<int> fail_at_once() {
  throw Error(Errc::kernel, "no such link");
  co_return 0;
}

Task<int> fail_later() {
  co_await test::yield();
  throw Error(Errc::kernel, "no such link");
}

Task<int> wait_and_tell(bool* ended) {
  const std::unique_ptr<bool, void (*)(bool*)> at_end(ended, [](bool* flag) { *flag = true; });
  co_await test::wait_for_ever();
  co_return 0;
}

TEST(Offload, ReturnsTheResultOnTheLoopAndWorksElsewhere) {
  Loop loop;
  asio::thread_pool worker(1);
  std::thread::id worked_on;
  std::thread::id resumed_on;
  const auto body = [&worker, &worked_on, &resumed_on]() -> Task<int> {
    const int result = co_await offload(worker, [&worked_on] {
      worked_on = std::this_thread::get_id();
      return 7;
    });
    resumed_on = std::this_thread::get_id();
    co_return result;
  };
  EXPECT_EQ(loop.run(body()), 7);
  EXPECT_NE(worked_on, std::this_thread::get_id());
  EXPECT_EQ(resumed_on, std::this_thread::get_id());
}

TEST(Offload, ThrowsWhatTheFunctionThrew) {
  Loop loop;
  asio::thread_pool worker(1);
  const auto error =
      loop.failure_of(offload(worker, []() -> int { throw Error(Errc::kernel, "Object exists"); }));
  EXPECT_EQ(error.code(), Errc::kernel);
  EXPECT_STREQ(error.what(), "Object exists");
}

TEST(Offload, CarriesWhatCanOnlyBeMoved) {
  Loop loop;
  asio::thread_pool worker(1);
  auto made = loop.run(offload(worker, [] { return std::make_unique<int>(3); }));
  EXPECT_EQ(*made, 3);
}

TEST(Offload, ResultReachesItsOwnerThoughCancelled) {
  Loop loop;
  asio::thread_pool worker(1);
  std::promise<void> go_on;
  std::shared_future<void> permission(go_on.get_future());
  std::unique_ptr<int> owner;
  bool went_on = false;
  const auto body = [&]() -> Task<> {
    auto make = [permission] {
      permission.wait();
      return std::make_unique<int>(3);
    };
    owner = co_await offload(worker, std::move(make));
    co_await test::yield();
    went_on = true;
  };
  asio::cancellation_signal signal;
  auto result = loop.start(body(), signal);
  loop.settle();
  signal.emit(asio::cancellation_type::terminal);
  loop.settle();
  EXPECT_FALSE(Loop::ready(result)) << "abandoned half way";
  go_on.set_value();
  EXPECT_EQ(loop.failure(result).code(), Errc::cancelled);
  ASSERT_TRUE(owner);
  EXPECT_FALSE(went_on);
}

TEST(WithDeadline, ReturnsTheValue) {
  Loop loop;
  EXPECT_EQ(loop.run(with_deadline("answer", never, answer())), 42);
}

TEST(WithDeadline, RunsATaskWithoutValue) {
  Loop loop;
  EXPECT_NO_THROW(loop.run(with_deadline("yield", never, test::yield())));
}

TEST(WithDeadline, DoesNotWaitForTheTimerWhenTheTaskThrowsAtOnce) {
  Loop loop;
  const auto error = loop.failure_of(with_deadline("link", never, fail_at_once()));
  EXPECT_EQ(error.code(), Errc::kernel);
  EXPECT_STREQ(error.what(), "no such link");
}

TEST(WithDeadline, DoesNotWaitForTheTimerWhenTheTaskThrowsLater) {
  Loop loop;
  EXPECT_EQ(loop.failure_of(with_deadline("link", never, fail_later())).code(), Errc::kernel);
}

TEST(WithDeadline, CancelsTheTaskAndNamesWhatWasWaitedFor) {
  Loop loop;
  bool ended = false;
  const auto error = loop.failure_of(with_deadline("QMP of web", soon, wait_and_tell(&ended)));
  EXPECT_EQ(error.code(), Errc::timeout);
  EXPECT_STREQ(error.what(), "QMP of web: no answer within 5 ms");
  EXPECT_TRUE(ended);
}

TEST(WithDeadline, OfZeroStillLetsATaskThatNeedsNoWaitingSucceed) {
  Loop loop;
  EXPECT_EQ(loop.run(with_deadline("answer", milliseconds(0), answer())), 42);
}

// Starts the task, and looks again when its deadline has passed and all that it waits for is there.
template <typename T>
std::future<T> start_and_be_late(Loop& loop, Task<T> task, Clock::time_point all_there) {
  auto result = loop.start(with_deadline("late", soon, std::move(task)));
  loop.settle();
  // What is waited for is time itself.
  std::this_thread::sleep_until(std::max(all_there, Clock::now() + soon));
  return result;
}

Task<int> answer_at(Clock::time_point when) {
  asio::steady_timer timer(co_await asio::this_coro::executor, when);
  co_await timer.async_wait(asio::use_awaitable);
  co_return 42;
}

Task<int> fail_at(Clock::time_point when) {
  co_await answer_at(when);
  throw Error(Errc::kernel, "no such link");
}

TEST(WithDeadline, ThatFiresAtOnceWithTheTaskDropsNoValue) {
  Loop loop;
  const auto when = Clock::now() + 10 * soon;
  auto result = start_and_be_late(loop, answer_at(when), when);
  EXPECT_EQ(loop.finish(result), 42);
}

TEST(WithDeadline, ThatFiresAtOnceWithTheTaskHidesNoFailure) {
  Loop loop;
  const auto when = Clock::now() + 10 * soon;
  auto result = start_and_be_late(loop, fail_at(when), when);
  EXPECT_EQ(loop.failure(result).code(), Errc::kernel);
}

TEST(WithDeadline, DropsNoValueOfWhatCannotBeAbandoned) {
  Loop loop;
  asio::thread_pool worker(1);
  std::promise<void> go_on;
  auto make = [permission = go_on.get_future().share()] {
    permission.wait();
    return std::make_unique<int>(3);
  };
  auto result = start_and_be_late(loop, offload(worker, std::move(make)), Clock::now());
  loop.settle();  // the deadline
  EXPECT_FALSE(Loop::ready(result)) << "abandoned half way";
  go_on.set_value();
  EXPECT_EQ(*loop.finish(result), 3);
}

TEST(WithDeadline, CancelledFromOutsideIsNotATimeout) {
  Loop loop;
  bool ended = false;
  asio::cancellation_signal signal;
  auto result = loop.start(with_deadline("wait", never, wait_and_tell(&ended)), signal);
  loop.settle();
  signal.emit(asio::cancellation_type::terminal);
  EXPECT_EQ(loop.failure(result).code(), Errc::cancelled);
  EXPECT_TRUE(ended);
}

TEST(WithDeadline, TheInnerOfTwoDecides) {
  Loop loop;
  auto inner = with_deadline("inner", soon, test::wait_for_ever());
  EXPECT_THAT(loop.failure_of(with_deadline("outer", never, std::move(inner))).what(),
              HasSubstr("inner"));
}

class TaskGroupTest : public testing::Test {
 protected:
  Loop loop_;
  TaskGroup group_{loop_.io.get_executor()};
};

TEST_F(TaskGroupTest, JoinOfAnEmptyGroupReturnsAtOnce) {
  EXPECT_NO_THROW(loop_.run(group_.join()));
}

TEST_F(TaskGroupTest, JoinWaitsForTheLast) {
  asio::steady_timer gate(loop_.io, Clock::time_point::max());
  int passed = 0;
  const auto body = [&gate, &passed]() -> Task<> {
    boost::system::error_code woken;
    co_await gate.async_wait(asio::redirect_error(asio::use_awaitable, woken));
    ++passed;
  };
  group_.spawn("first", body());
  group_.spawn("second", body());
  auto joined = loop_.start(group_.join());
  loop_.settle();
  EXPECT_FALSE(Loop::ready(joined));
  gate.cancel();
  loop_.finish(joined);
  EXPECT_EQ(passed, 2);
  EXPECT_EQ(group_.size(), 0);
}

TEST_F(TaskGroupTest, OneFailureLeavesTheOthersAlone) {
  const auto fail = []() -> Task<> {
    throw Error(Errc::kernel, "expected in this test");
    co_return;
  };
  bool ended = false;
  const auto wait = [&ended]() -> Task<> { co_await wait_and_tell(&ended); };
  group_.spawn("waits", wait());
  group_.spawn("fails", fail());
  loop_.until([this] { return group_.size() == 1; });
  EXPECT_FALSE(ended);
  group_.cancel();
  loop_.run(group_.join());
}

TEST_F(TaskGroupTest, CancelEndsAllAndJoinSeesTheirCleanUp) {
  std::array<bool, 3> ended{};
  const auto wait = [](bool* flag) -> Task<> { co_await wait_and_tell(flag); };
  for (bool& flag : ended) group_.spawn("waits", wait(&flag));
  loop_.settle();
  group_.cancel();
  loop_.run(group_.join());
  EXPECT_THAT(ended, testing::Each(true));
}

TEST_F(TaskGroupTest, CancelReachesATaskThatHasNotStarted) {
  group_.spawn("waits", test::wait_for_ever());
  group_.cancel();
  EXPECT_NO_THROW(loop_.run(group_.join()));
}

TEST_F(TaskGroupTest, CancelOfAnEmptyGroupDoesNothing) {
  group_.cancel();
  EXPECT_EQ(group_.size(), 0);
}

TEST_F(TaskGroupTest, ATaskMaySpawnAnotherAndCancelItsOwnGroup) {
  const auto body = [this]() -> Task<> {
    group_.spawn("child", test::wait_for_ever());
    co_await test::yield();
    group_.cancel();
    co_await test::yield();
    ADD_FAILURE() << "not cancelled";
  };
  group_.spawn("parent", body());
  loop_.run(group_.join());
  EXPECT_EQ(group_.size(), 0);
}

TEST_F(TaskGroupTest, TwoMayJoinWithoutWakingEachOtherInCircles) {
  group_.spawn("waits", test::wait_for_ever());
  auto first = loop_.start(group_.join());
  auto second = loop_.start(group_.join());
  loop_.io.restart();
  int steps = 0;
  while (steps < 1000 && loop_.io.poll_one() > 0) ++steps;
  EXPECT_LT(steps, 1000) << "the loop is busy though nothing happens";
  group_.cancel();
  loop_.finish(first);
  loop_.finish(second);
}

TEST_F(TaskGroupTest, AWaitingJoinCanBeCancelled) {
  group_.spawn("waits", test::wait_for_ever());
  asio::cancellation_signal signal;
  auto joined = loop_.start(group_.join(), signal);
  loop_.settle();
  signal.emit(asio::cancellation_type::terminal);
  EXPECT_EQ(loop_.failure(joined).code(), Errc::cancelled);
  group_.cancel();
  loop_.run(group_.join());
}

}  // namespace
}  // namespace wso
