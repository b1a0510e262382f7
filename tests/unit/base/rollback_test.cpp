// with_rollback: what is undone, in which order, and what a cancellation can and cannot reach.
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "loop.hpp"

namespace wso {
namespace {

using test::Loop;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

constexpr milliseconds soon{5};

class RollbackTest : public testing::Test {
 protected:
  // An undo step that needs the loop, as real ones do.
  Rollback::Step note(std::string word) {
    return [this, word = std::move(word)]() -> Task<> {
      co_await test::yield();
      undone_.push_back(word);
    };
  }

  static Rollback::Step refuse(std::string sentence) {
    return [sentence = std::move(sentence)]() -> Task<> {
      co_await test::yield();
      throw Error(Errc::busy, "{}", sentence);
    };
  }

  // Adds the two steps, then waits until it is cancelled.
  Task<> hang(std::string what) {
    const auto body = [this](Rollback& rollback) -> Task<> {
      rollback.add("first", note("first"));
      rollback.add("second", note("second"));
      co_await test::wait_for_ever();
    };
    co_await with_rollback<void>(std::move(what), body);
  }

  Loop loop_;
  std::vector<std::string> undone_;
};

TEST_F(RollbackTest, SuccessUndoesNothing) {
  const int result =
      loop_.run(with_rollback<int>("launch", [this](Rollback& rollback) -> Task<int> {
        rollback.add("first", note("first"));
        co_return 3;
      }));
  EXPECT_EQ(result, 3);
  EXPECT_THAT(undone_, IsEmpty());
}

TEST_F(RollbackTest, FailureUndoesInReverseAndKeepsTheError) {
  const auto error =
      loop_.failure_of(with_rollback<int>("launch web", [this](Rollback& rollback) -> Task<int> {
        rollback.add("first", note("first"));
        rollback.add("second", note("second"));
        co_await test::yield();
        throw Error(Errc::kernel, "Object exists");
      }));
  EXPECT_THAT(undone_, ElementsAre("second", "first"));
  EXPECT_EQ(error.code(), Errc::kernel);
  EXPECT_STREQ(error.what(), "launch web: Object exists");
}

TEST_F(RollbackTest, FailureBeforeTheFirstStepUndoesNothing) {
  const auto error = loop_.failure_of(with_rollback<int>("launch web", [](Rollback&) -> Task<int> {
    throw std::runtime_error("{} is no format here");
    co_return 0;
  }));
  EXPECT_EQ(error.code(), Errc::internal);
  EXPECT_STREQ(error.what(), "launch web: {} is no format here");
}

TEST_F(RollbackTest, AFailedUndoIsAppendedAndTheOthersRun) {
  const auto error =
      loop_.failure_of(with_rollback<int>("launch", [this](Rollback& rollback) -> Task<int> {
        rollback.add("first", note("first"));
        rollback.add("remove disk", refuse("in use"));
        rollback.add("third", note("third"));
        rollback.add("stop QEMU", refuse("{} hangs"));
        throw Error(Errc::timeout, "no greeting");
        co_return 0;
      }));
  EXPECT_THAT(undone_, ElementsAre("third", "first"));
  EXPECT_EQ(error.code(), Errc::timeout);
  EXPECT_STREQ(error.what(),
               "launch: no greeting; and while undoing: stop QEMU: {} hangs; and while undoing: "
               "remove disk: in use");
}

TEST_F(RollbackTest, AnUndoThatThrowsBeforeItsFirstAwaitStopsNoOther) {
  const auto error =
      loop_.failure_of(with_rollback<int>("launch", [this](Rollback& rollback) -> Task<int> {
        rollback.add("first", note("first"));
        rollback.add("second", []() -> Task<> { throw Error(Errc::busy, "no coroutine"); });
        throw Error(Errc::kernel, "refused");
        co_return 0;
      }));
  EXPECT_THAT(undone_, ElementsAre("first"));
  EXPECT_THAT(error.what(), HasSubstr("second: no coroutine"));
}

TEST_F(RollbackTest, ABodyThatThrowsBeforeItsFirstAwaitIsUndone) {
  const auto error =
      loop_.failure_of(with_rollback<int>("launch", [this](Rollback& rollback) -> Task<int> {
        rollback.add("first", note("first"));
        throw Error(Errc::kernel, "no coroutine");
      }));
  EXPECT_THAT(undone_, ElementsAre("first"));
  EXPECT_STREQ(error.what(), "launch: no coroutine");
}

TEST_F(RollbackTest, CancellationUndoes) {
  asio::cancellation_signal signal;
  auto result = loop_.start(hang("launch web"), signal);
  loop_.settle();
  signal.emit(asio::cancellation_type::terminal);
  const auto error = loop_.failure(result);
  EXPECT_THAT(undone_, ElementsAre("second", "first"));
  EXPECT_EQ(error.code(), Errc::cancelled);
  EXPECT_STREQ(error.what(), "launch web: cancelled");
}

TEST_F(RollbackTest, AnElapsedDeadlineUndoes) {
  const auto error = loop_.failure_of(with_deadline("launch web", soon, hang("launch")));
  EXPECT_THAT(undone_, ElementsAre("second", "first"));
  EXPECT_EQ(error.code(), Errc::timeout);
}

TEST_F(RollbackTest, AnUndoMayHaveADeadlineOfItsOwn) {
  asio::cancellation_signal signal;
  auto result = loop_.start(with_rollback<void>("launch",
                                                [this](Rollback& rollback) -> Task<> {
                                                  rollback.add("first", note("first"));
                                                  rollback.add("stop QEMU", []() -> Task<> {
                                                    co_await with_deadline("exit", soon,
                                                                           test::wait_for_ever());
                                                  });
                                                  co_await test::wait_for_ever();
                                                }),
                            signal);
  loop_.settle();
  signal.emit(asio::cancellation_type::terminal);
  EXPECT_THAT(loop_.failure(result).what(), HasSubstr("stop QEMU: exit: no answer within 5 ms"));
  EXPECT_THAT(undone_, ElementsAre("first"));
}

// A coroutine that survives the failure of its launch, as one that retries does.
class SurvivorTest : public RollbackTest {
 protected:
  Task<> survive() {
    auto launch = with_rollback<void>("launch", [this](Rollback& rollback) -> Task<> {
      rollback.add("slow", [this]() -> Task<> {
        boost::system::error_code woken;
        co_await gate_.async_wait(asio::redirect_error(asio::use_awaitable, woken));
        undone_.emplace_back("slow");
      });
      throw Error(Errc::kernel, "refused");
      co_return;
    });
    const auto outcome = co_await detail::outcome_of(std::move(launch));
    code_ = as_error(outcome.error).code();
    co_await test::wait_for_ever();
  }

  void open_gate() {
    gate_.cancel();
    loop_.until([this] { return code_.has_value(); });
  }

  asio::steady_timer gate_{loop_.io, Clock::time_point::max()};
  asio::cancellation_signal signal_;
  std::optional<Errc> code_;
};

TEST_F(SurvivorTest, CanBeCancelledAfterTheRollback) {
  auto result = loop_.start(survive(), signal_);
  loop_.settle();
  open_gate();
  loop_.settle();
  signal_.emit(asio::cancellation_type::terminal);
  EXPECT_EQ(loop_.failure(result).code(), Errc::cancelled);
  EXPECT_EQ(code_, Errc::kernel);
}

TEST_F(SurvivorTest, SeesACancellationThatArrivedWhileUndoingOnlyAfterIt) {
  auto result = loop_.start(survive(), signal_);
  loop_.settle();
  signal_.emit(asio::cancellation_type::terminal);
  loop_.settle();
  EXPECT_THAT(undone_, IsEmpty());
  EXPECT_FALSE(Loop::ready(result)) << "the undo step was cancelled";
  open_gate();
  EXPECT_EQ(loop_.failure(result).code(), Errc::cancelled);
  EXPECT_THAT(undone_, ElementsAre("slow"));
  EXPECT_EQ(code_, Errc::kernel) << "the first error was lost";
}

TEST_F(RollbackTest, ACancelledCallerStaysCancelled) {
  bool went_on = false;
  const auto body = [this, &went_on]() -> Task<> {
    co_await detail::outcome_of(hang("launch"));
    co_await test::yield();
    went_on = true;
  };
  asio::cancellation_signal signal;
  auto result = loop_.start(body(), signal);
  loop_.settle();
  signal.emit(asio::cancellation_type::terminal);
  EXPECT_EQ(loop_.failure(result).code(), Errc::cancelled);
  EXPECT_FALSE(went_on);
  EXPECT_THAT(undone_, ElementsAre("second", "first"));
}

TEST_F(RollbackTest, NestedRollbacksUndoInsideOut) {
  asio::cancellation_signal signal;
  auto result = loop_.start(with_rollback<void>("outer",
                                                [this](Rollback& rollback) -> Task<> {
                                                  rollback.add("outer", note("outer"));
                                                  co_await hang("inner");
                                                }),
                            signal);
  loop_.settle();
  signal.emit(asio::cancellation_type::terminal);
  EXPECT_STREQ(loop_.failure(result).what(), "outer: inner: cancelled");
  EXPECT_THAT(undone_, ElementsAre("second", "first", "outer"));
}

}  // namespace
}  // namespace wso
