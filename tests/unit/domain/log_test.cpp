// Log files that rotate, and their readers.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <wso/base/error.hpp>
#include <wso/domain/log_reader.hpp>
#include <wso/domain/rotated_log.hpp>

#include "../base/loop.hpp"
#include "../base/scratch.hpp"

namespace wso::domain {
namespace {

using wso::test::contents_of;
using wso::test::failure_of_call;
using wso::test::Loop;
using wso::test::mode_of;
using wso::test::Scratch;

constexpr std::size_t limit = 10;

class LogTest : public testing::Test {
 protected:
  LogTest() { create_log(path_); }

  bool append(std::string_view bytes) { return append_to_log(path_, bytes, limit); }

  Scratch scratch_;
  std::filesystem::path path_ = scratch_ / "web.console";
  std::filesystem::path old_ = scratch_ / "web.console.old";
};

TEST_F(LogTest, IsForItsOwnerOnly) {
  EXPECT_EQ(mode_of(path_), 0600U);
  EXPECT_TRUE(append("123456"));
  EXPECT_TRUE(append("7890ab"));
  EXPECT_EQ(mode_of(path_), 0600U);
  EXPECT_EQ(mode_of(old_), 0600U);
}

TEST_F(LogTest, RotatesBeforeItWouldExceedItsLimit) {
  append("12345");
  append("67890");
  EXPECT_EQ(contents_of(path_), "1234567890");
  EXPECT_FALSE(std::filesystem::exists(old_));
  append("a");
  EXPECT_EQ(contents_of(path_), "a");
  EXPECT_EQ(contents_of(old_), "1234567890");
  append("bcdefghijk");
  EXPECT_EQ(contents_of(path_), "bcdefghijk");
  EXPECT_EQ(contents_of(old_), "a");
}

TEST_F(LogTest, IsNotMadeAgainOnceItWasRemoved) {
  append("123456");
  append("7890ab");
  remove_log(path_);
  EXPECT_FALSE(append("more"));
  EXPECT_FALSE(std::filesystem::exists(path_));
  EXPECT_FALSE(std::filesystem::exists(old_));
  EXPECT_NO_THROW(remove_log(path_));
  EXPECT_NO_THROW(put_log_aside(path_));
}

TEST_F(LogTest, ThatExistsIsGoneOnWith) {
  append("123");
  create_log(path_);
  EXPECT_EQ(contents_of(path_), "123");
}

TEST_F(LogTest, FollowsNoLink) {
  remove_log(path_);
  scratch_.put("victim", "precious");
  std::filesystem::create_symlink(scratch_ / "victim", path_);
  EXPECT_THROW(append("more"), Error);
  EXPECT_THROW(create_log(path_), Error);
  EXPECT_EQ(contents_of(scratch_ / "victim"), "precious");
}

class LogReaderTest : public LogTest {
 protected:
  std::shared_ptr<LogReader> open(LogRange range) {
    auto reader = std::make_shared<LogReader>(loop_.io.get_executor(), worker_, path_, range);
    loop_.run(reader->open());
    return reader;
  }

  std::string read_all(LogRange range) {
    const auto reader = open(range);
    std::string text;
    while (true) {
      const std::string piece = loop_.run(reader->next());
      if (piece.empty()) return text;
      text += piece;
    }
  }

  // Of a log that is followed.
  void expect_next(LogReader& reader, const std::string& text) {
    std::string got;
    while (got.size() < text.size()) got += loop_.run(reader.next());
    EXPECT_EQ(got, text);
  }

  // The same, but it already waits when the action is done.
  template <typename Action>
  void expect_woken(LogReader& reader, Action action, const std::string& text) {
    auto next = loop_.start(reader.next());
    loop_.io.restart();
    loop_.io.run_for(milliseconds(30));
    EXPECT_FALSE(Loop::ready(next));
    action();
    EXPECT_EQ(loop_.finish(next), text);
  }

  std::string tail(std::int64_t lines) {
    LogRange range;
    range.tail = lines;
    return read_all(range);
  }

  std::shared_ptr<LogReader> follow() {
    LogRange range;
    range.follow = true;
    return open(range);
  }

  void put(const std::string& previous, const std::string& current) {
    scratch_.put("web.console.old", previous);
    scratch_.put("web.console", current);
  }

  Loop loop_;
  asio::thread_pool worker_{1};
};

TEST_F(LogReaderTest, ReadsThePreviousLogFirst) {
  EXPECT_EQ(read_all({}), "");
  put("a\nb\n", "c\nd");
  EXPECT_EQ(read_all({}), "a\nb\nc\nd");
  remove_log(path_);
  EXPECT_EQ(read_all({}), "");
}

TEST_F(LogReaderTest, FindsTheLastLinesAcrossBothFiles) {
  put("1\n2\n3", "4\n5\n6\n");
  EXPECT_EQ(tail(0), "");
  EXPECT_EQ(tail(1), "6\n");
  EXPECT_EQ(tail(2), "5\n6\n");
  EXPECT_EQ(tail(3), "34\n5\n6\n");
  EXPECT_EQ(tail(4), "2\n34\n5\n6\n");
  EXPECT_EQ(tail(5), "1\n2\n34\n5\n6\n");
  EXPECT_EQ(tail(1'000'000'000), "1\n2\n34\n5\n6\n");
}

TEST_F(LogReaderTest, CountsALastLineWithoutItsEnd) {
  put("1\n", "2\n3");
  EXPECT_EQ(tail(0), "");
  EXPECT_EQ(tail(1), "3");
  EXPECT_EQ(tail(2), "2\n3");
  EXPECT_EQ(tail(3), "1\n2\n3");
}

TEST_F(LogReaderTest, TakesTheLinesOfThePreviousLogIfTheCurrentIsEmpty) {
  put("1\n2\n", "");
  EXPECT_EQ(tail(1), "2\n");
  EXPECT_EQ(tail(0), "");
}

TEST_F(LogReaderTest, LooksForLinesOnlySoFarBack) {
  put("", std::string(3 * LogReader::tail_window, 'x'));
  EXPECT_EQ(tail(1).size(), static_cast<std::size_t>(LogReader::tail_window));
}

TEST_F(LogReaderTest, EndsWhereTheLogEndedAtItsOpening) {
  put("", "123");
  const auto reader = open({});
  append("4");
  EXPECT_EQ(loop_.run(reader->next()), "123");
  append("5");
  EXPECT_EQ(loop_.run(reader->next()), "");
}

TEST_F(LogReaderTest, FollowsWhatIsWrittenLater) {
  const auto reader = follow();
  const auto append_some = [this] { append("123"); };
  expect_woken(*reader, append_some, "123");
  append("45");
  expect_next(*reader, "45");
}

TEST_F(LogReaderTest, FollowsThroughRotations) {
  const auto reader = follow();
  for (const char* piece : {"aaaaaa", "bbbbbb", "cccccc", "dddddd"}) {
    const auto append_piece = [this, piece] { append(piece); };
    expect_woken(*reader, append_piece, piece);
  }
  append("eee");
  append("ffffffffff");
  expect_next(*reader, "eeeffffffffff");
}

TEST_F(LogReaderTest, TellsASlowOneThatItMissedSome) {
  const auto reader = follow();
  append("aaaaaa");
  expect_next(*reader, "aaaaaa");
  for (const char* piece : {"bbbbbb", "cccccc", "dddddd"}) append(piece);
  expect_next(*reader, "\n[... some output missed ...]\nccccccdddddd");
}

TEST_F(LogReaderTest, EndsWhenAFollowedLogIsRemoved) {
  append("123");
  const auto reader = follow();
  expect_next(*reader, "123");
  auto next = loop_.start(reader->next());
  loop_.settle();
  append("4");
  remove_log(path_);
  EXPECT_EQ(loop_.finish(next), "4");
  EXPECT_EQ(loop_.run(reader->next()), "");
}

TEST_F(LogReaderTest, IsWokenByARemoval) {
  const auto reader = follow();
  const auto remove = [this] { remove_log(path_); };
  expect_woken(*reader, remove, "");
}

TEST_F(LogReaderTest, RefusesToFollowWhatIsNotThere) {
  remove_log(path_);
  LogRange range;
  range.follow = true;
  LogReader reader(loop_.io.get_executor(), worker_, path_, range);
  EXPECT_EQ(loop_.failure_of(reader.open()).code(), Errc::not_found);
}

TEST_F(LogReaderTest, AWaitCanBeCancelled) {
  const auto reader = follow();
  asio::cancellation_signal signal;
  auto next = loop_.start(reader->next(), signal);
  loop_.io.restart();
  loop_.io.run_for(milliseconds(30));
  signal.emit(asio::cancellation_type::terminal);
  EXPECT_EQ(loop_.failure(next).code(), Errc::cancelled);
}

}  // namespace
}  // namespace wso::domain
