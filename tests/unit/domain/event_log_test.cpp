// The event log: its order, its readers, what a slow one is told, and how much it keeps.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <wso/base/error.hpp>
#include <wso/domain/event_log.hpp>

#include "../base/loop.hpp"

namespace wso::domain {
namespace {

using wso::test::Loop;

constexpr std::int64_t first = 5'000'000;
constexpr auto kept = static_cast<std::int64_t>(EventLog::kept_events);
constexpr auto batch = static_cast<std::int64_t>(EventLog::batch_limit);

class EventLogTest : public testing::Test {
 protected:
  void append(std::int64_t count) {
    for (std::int64_t i = 0; i < count; ++i) log_.append("domain.launched", "web");
  }

  EventBatch next(std::int64_t after) { return loop_.run(log_.next(after)); }

  Loop loop_;
  EventLog log_{loop_.io.get_executor(), first};
};

TEST_F(EventLogTest, HandsOutWhatWasAppended) {
  log_.append("domain.stopped", "web", {{"reason", "guest-shutdown"}});
  log_.append("network.mended", "db");
  const EventBatch got = next(0);
  EXPECT_EQ(got.missed_to, 0);
  ASSERT_EQ(got.events.size(), 2U);
  EXPECT_EQ(got.events[0].number, first);
  EXPECT_EQ(got.events[0].event, "domain.stopped");
  EXPECT_EQ(got.events[0].domain_name, "web");
  EXPECT_EQ(got.events[0].details, (Json{{"reason", "guest-shutdown"}}));
  EXPECT_EQ(got.events[1].number, first + 1);
  EXPECT_EQ(got.events[1].details, Json::object());
  EXPECT_EQ(got.last(), log_.last());
}

TEST_F(EventLogTest, BeginsAfterTheNumberThatIsAsked) {
  append(3);
  const EventBatch got = next(first);
  ASSERT_EQ(got.events.size(), 2U);
  EXPECT_EQ(got.events[0].number, first + 1);
}

TEST_F(EventLogTest, GivesBatchesOfBoundedSize) {
  append(batch + 1);
  const EventBatch whole = next(0);
  ASSERT_EQ(whole.events.size(), EventLog::batch_limit);
  const EventBatch rest = next(whole.last());
  ASSERT_EQ(rest.events.size(), 1U);
  EXPECT_EQ(rest.events[0].number, first + batch);
}

TEST_F(EventLogTest, WakesAllWhoWait) {
  auto one = loop_.start(log_.next(0));
  auto other = loop_.start(log_.next(log_.last()));
  loop_.settle();
  EXPECT_FALSE(Loop::ready(one));
  EXPECT_FALSE(Loop::ready(other));
  append(1);
  EXPECT_EQ(loop_.finish(one).events.size(), 1U);
  EXPECT_EQ(loop_.finish(other).events.size(), 1U);
}

TEST_F(EventLogTest, DoesNotWakeWhoAsksForLaterOnesForGood) {
  append(1);
  auto later = loop_.start(log_.next(log_.last()));
  auto earlier = loop_.start(log_.next(0));
  loop_.finish(earlier);
  EXPECT_FALSE(Loop::ready(later));
  append(1);
  EXPECT_EQ(loop_.finish(later).events.size(), 1U);
}

TEST_F(EventLogTest, TellsASlowReaderWhatItHasMissed) {
  append(kept + 7);
  const EventBatch got = next(first + 2);  // has seen three
  EXPECT_EQ(got.missed_from, first + 3);
  EXPECT_EQ(got.missed_to, first + 6);
  EXPECT_EQ(got.events.front().number, first + 7);
}

TEST_F(EventLogTest, OneWhoIsJustInTimeMissesNothing) {
  append(kept + 7);
  const EventBatch got = next(first + 6);
  EXPECT_EQ(got.missed_to, 0);
  EXPECT_EQ(got.events.front().number, first + 7);
}

TEST_F(EventLogTest, WhoAsksForAllMissesWhatWasDroppedAndNoMore) {
  append(kept);
  EXPECT_EQ(next(0).missed_to, 0);
  append(1);
  const EventBatch got = next(0);
  EXPECT_EQ(got.missed_from, first);
  EXPECT_EQ(got.missed_to, first);
}

TEST_F(EventLogTest, AReaderOfAnEarlierRunIsToldAtOnce) {
  const EventBatch gap = next(first - 1000);
  EXPECT_EQ(gap.missed_from, first - 999);
  EXPECT_EQ(gap.missed_to, first - 1);
  EXPECT_TRUE(gap.events.empty());
  auto rest = loop_.start(log_.next(gap.last()));
  loop_.settle();
  EXPECT_FALSE(Loop::ready(rest));
  append(1);
  EXPECT_EQ(loop_.finish(rest).missed_to, 0);
}

TEST_F(EventLogTest, AReaderThatFallsBehindWhileItReadsGoesOnWithTheRest) {
  append(1);
  std::int64_t seen = next(0).last();
  append(3 * kept);
  std::int64_t n_missed = 0;
  std::int64_t n_events = 0;
  while (seen < log_.last()) {
    const EventBatch got = next(seen);
    if (got.missed_to != 0) {
      EXPECT_EQ(got.missed_from, seen + 1);
      n_missed += got.missed_to - got.missed_from + 1;
    }
    n_events += static_cast<std::int64_t>(got.events.size());
    seen = got.last();
  }
  EXPECT_EQ(n_events, kept);
  EXPECT_EQ(n_missed, 2 * kept);
}

TEST_F(EventLogTest, KeepsNoLargeDetails) {
  log_.append("qemu.LARGE", "web", {{"text", std::string(EventLog::details_limit, 'x')}});
  log_.append("qemu.SMALL", "web", {{"text", std::string(EventLog::details_limit / 2, 'x')}});
  const EventBatch got = next(0);
  EXPECT_EQ(got.events[0].details,
            (Json{{"omitted_bytes",
                   EventLog::details_limit + std::string_view(R"({"text":""})").size()}}));
  EXPECT_TRUE(got.events[1].details.contains("text"));
}

TEST_F(EventLogTest, AWaitCanBeCancelledAndDisturbsNoOther) {
  asio::cancellation_signal signal;
  auto cancelled = loop_.start(log_.next(0), signal);
  auto other = loop_.start(log_.next(0));
  loop_.settle();
  signal.emit(asio::cancellation_type::terminal);
  EXPECT_EQ(loop_.failure(cancelled).code(), Errc::cancelled);
  EXPECT_FALSE(Loop::ready(other));
  append(1);
  EXPECT_EQ(loop_.finish(other).events.size(), 1U);
}

TEST(EventLogNumbers, OfALaterRunAreLarger) {
  Loop loop;
  EventLog log(loop.io.get_executor());
  for (int i = 0; i < 100; ++i) log.append("domain.launched", "web");
  // No run is as short as this one was.
  asio::steady_timer timer(loop.io, milliseconds(1));
  loop.run(timer.async_wait(asio::use_awaitable));
  EXPECT_GT(EventLog(loop.io.get_executor()).last(), log.last());
  EXPECT_LT(log.last(), std::int64_t{1} << 53);
}

}  // namespace
}  // namespace wso::domain
