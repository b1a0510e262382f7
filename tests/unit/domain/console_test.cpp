// The console against a stand-in for QEMU that floods, stalls, hangs up and comes back.
#include <boost/asio/read.hpp>
#include <boost/asio/write.hpp>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <wso/base/error.hpp>
#include <wso/base/unix_socket.hpp>
#include <wso/domain/console.hpp>
#include <wso/domain/rotated_log.hpp>

#include "../base/loop.hpp"
#include "../base/scratch.hpp"

namespace wso::domain {
namespace {

using testing::EndsWith;
using testing::HasSubstr;
using testing::StartsWith;
using wso::test::contents_of;
using wso::test::Loop;
using wso::test::Scratch;
using Protocol = asio::local::stream_protocol;

class ConsoleTest : public testing::Test {
 protected:
  ~ConsoleTest() override {
    if (console_) console_->close();
    loop_.run(end());
  }

  // On the loop: elsewhere Asio cancels by a handler that a task which ends first leaves dangling.
  Task<> end() {
    tasks_.cancel();
    co_await tasks_.join();
  }

  void run_for(milliseconds duration) {
    loop_.io.restart();
    loop_.io.run_for(duration);
  }

  void listen() {
    acceptor_.emplace(loop_.io, Protocol(), listen_unix(socket_path_, 0600).release());
  }

  void open() {
    console_ = Console::open(tasks_, worker_, "web", socket_path_, log_path_, UniqueFd());
  }

  Protocol::socket accept() {
    Protocol::socket accepted(loop_.io);
    auto accepting = acceptor_->async_accept(accepted, asio::use_future);
    loop_.finish(accepting);
    return accepted;
  }

  // A console that QEMU has taken.
  Protocol::socket connected() {
    listen();
    open();
    return accept();
  }

  // QEMU's side.
  void say(Protocol::socket& qemu, std::string bytes) {
    auto writing = [&qemu, &bytes]() -> Task<> {
      co_await asio::async_write(qemu, asio::buffer(bytes), asio::use_awaitable);
    };
    loop_.run(writing());
  }

  std::string hear(Protocol::socket& qemu, std::size_t size) {
    std::string bytes(size, '\0');
    auto reading = [&qemu, &bytes]() -> Task<> {
      co_await asio::async_read(qemu, asio::buffer(bytes), asio::use_awaitable);
    };
    loop_.run(reading());
    return bytes;
  }

  // What a reader gets until it has seen so many bytes.
  std::string read(Console::Position& position, std::size_t size) {
    std::string got;
    while (got.size() < size) got += loop_.run(console_->read(position));
    return got;
  }

  void wait_for_log(const std::string& contents) {
    loop_.until([&] { return contents_of(log_path_) == contents; });
  }

  Loop loop_;
  asio::thread_pool worker_{1};
  Scratch scratch_;
  std::filesystem::path socket_path_ = scratch_ / "web.console";
  std::filesystem::path log_path_ = scratch_ / "web.console.log";
  TaskGroup tasks_{loop_.io.get_executor()};
  std::optional<Protocol::acceptor> acceptor_;
  std::shared_ptr<Console> console_;
};

TEST_F(ConsoleTest, ShowsAllReadersWhatTheGuestPrintsAndLogsIt) {
  auto qemu = connected();
  Console::Position one = 0;
  Console::Position other = 0;
  say(qemu, "hello ");
  EXPECT_EQ(read(one, 6), "hello ");
  say(qemu, std::string("wor\0ld\xff", 7));
  EXPECT_EQ(read(one, 7), std::string("wor\0ld\xff", 7));
  EXPECT_EQ(read(other, 13), std::string("hello wor\0ld\xff", 13));
  wait_for_log(std::string("hello wor\0ld\xff", 13));
}

TEST_F(ConsoleTest, ALateReaderBeginsInTheRecentPast) {
  auto qemu = connected();
  Console::Position all = 0;
  say(qemu, "0123456789");
  read(all, 10);
  Console::Position late = console_->recent(4);
  EXPECT_EQ(read(late, 4), "6789");
  late = console_->recent(1000);
  EXPECT_EQ(read(late, 10), "0123456789");
}

TEST_F(ConsoleTest, ASlowReaderIsToldHowMuchItMissed) {
  auto qemu = connected();
  Console::Position slow = 0;
  Console::Position fast = 0;
  const std::string more(Console::recent_bytes, 'x');
  say(qemu, "missed");
  say(qemu, more);
  while (fast < more.size() + 6) loop_.run(console_->read(fast));
  const std::string got = loop_.run(console_->read(slow));
  EXPECT_EQ(got, "\r\n[... 6 bytes missed ...]\r\n" + more);
  EXPECT_EQ(slow, fast);
}

TEST_F(ConsoleTest, AFloodIsSlowedDownAndLeavesABoundedLog) {
  auto qemu = connected();
  const std::string flood(3 * log_limit / 2, 'x');
  const auto start = Clock::now();
  say(qemu, flood);
  Console::Position position = 0;
  while (position < flood.size()) loop_.run(console_->read(position));
  // 96 pieces of 16 KiB with 10 ms in between.
  EXPECT_GT(Clock::now() - start, milliseconds(900));
  loop_.until([&] {
    return std::filesystem::exists(log_path_.native() + ".old") &&
           contents_of(log_path_).size() + contents_of(log_path_.native() + ".old").size() ==
               flood.size();
  });
  EXPECT_LE(contents_of(log_path_).size(), log_limit);
  EXPECT_LE(contents_of(log_path_.native() + ".old").size(), log_limit);
}

TEST_F(ConsoleTest, AnIdleOneDoesNothing) {
  auto qemu = connected();
  Console::Position position = 0;
  say(qemu, "x");
  read(position, 1);
  wait_for_log("x");
  run_for(milliseconds(30));
  loop_.io.restart();
  EXPECT_EQ(loop_.io.run_for(milliseconds(100)), 0U);
}

TEST_F(ConsoleTest, TheWriterTypesToTheGuest) {
  auto qemu = connected();
  auto writer = Console::take_writer(console_);
  loop_.run(writer->write("ls\n"));
  EXPECT_EQ(hear(qemu, 3), "ls\n");
}

TEST_F(ConsoleTest, ASecondWriterIsRefusedUntilTheFirstHasGone) {
  auto qemu = connected();
  auto writer = Console::take_writer(console_);
  try {
    Console::take_writer(console_);
    ADD_FAILURE() << "two writers";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), Errc::busy);
    EXPECT_THAT(error.what(), HasSubstr("console of web"));
  }
  writer.reset();
  EXPECT_NO_THROW(Console::take_writer(console_));
}

TEST_F(ConsoleTest, AWriteToAGuestThatTakesNothingCanBeCancelled) {
  auto qemu = connected();
  auto writer = Console::take_writer(console_);
  asio::cancellation_signal signal;
  const auto write_on = [&writer]() -> Task<> {
    while (true) co_await writer->write(std::string(65536, 'x'));
  };
  auto writing = loop_.start(write_on(), signal);
  run_for(milliseconds(50));
  EXPECT_FALSE(Loop::ready(writing));
  // Meanwhile the guest's output is not held up.
  Console::Position position = 0;
  say(qemu, "still here");
  EXPECT_EQ(read(position, 10), "still here");
  signal.emit(asio::cancellation_type::terminal);
  EXPECT_EQ(loop_.failure(writing).code(), Errc::cancelled);
}

TEST_F(ConsoleTest, AWriteWaitsForTheConnection) {
  open();
  auto writer = Console::take_writer(console_);
  auto writing = loop_.start(writer->write("early"));
  loop_.settle();
  EXPECT_FALSE(Loop::ready(writing));
  listen();
  auto qemu = accept();
  loop_.finish(writing);
  EXPECT_EQ(hear(qemu, 5), "early");
}

TEST_F(ConsoleTest, ConnectsAgainWhenTheConnectionBreaks) {
  auto qemu = connected();
  Console::Position position = 0;
  say(qemu, "before ");
  qemu.close();
  auto again = accept();
  say(again, "after");
  EXPECT_EQ(read(position, 12), "before after");
  auto writer = Console::take_writer(console_);
  loop_.run(writer->write("ls\n"));
  EXPECT_EQ(hear(again, 3), "ls\n");
}

TEST_F(ConsoleTest, OneThatHangsUpAtOnceIsTriedEverLessOften) {
  listen();
  open();
  int n_connections = 0;
  const auto start = Clock::now();
  while (Clock::now() - start < milliseconds(1500)) {
    accept().close();
    ++n_connections;
  }
  // At 0, 100, 300, 700 and 1500 ms.
  EXPECT_LE(n_connections, 6);
  EXPECT_GE(n_connections, 4);
}

TEST_F(ConsoleTest, CloseStillTakesTheLastWords) {
  auto qemu = connected();
  const std::string last_words(100'000, 'x');
  Console::Position position = 0;
  say(qemu, "x");
  read(position, 1);
  say(qemu, last_words);
  qemu.close();
  console_->close();
  std::size_t n = 0;
  while (true) {
    const std::string bytes = loop_.run(console_->read(position));
    if (bytes.empty()) break;
    n += bytes.size();
  }
  EXPECT_EQ(n, last_words.size());
  loop_.run(tasks_.join());
  EXPECT_EQ(contents_of(log_path_).size(), last_words.size() + 1);
}

TEST_F(ConsoleTest, CloseEndsReadersAndWritersThoughQemuHoldsOn) {
  auto qemu = connected();
  Console::Position position = 0;
  auto reading = loop_.start(console_->read(position));
  auto writer = Console::take_writer(console_);
  auto writing = loop_.start(writer->write(std::string(10'000'000, 'x')));
  loop_.settle();
  console_->close();
  EXPECT_EQ(loop_.finish(reading), "");
  loop_.finish(writing);
  loop_.run(tasks_.join());
  EXPECT_NO_THROW(loop_.run(writer->write("more")));
  console_->close();
}

TEST_F(ConsoleTest, CloseEndsOneThatNeverConnected) {
  open();
  loop_.settle();
  console_->close();
  loop_.run(tasks_.join());
  Console::Position position = 0;
  EXPECT_EQ(loop_.run(console_->read(position)), "");
}

TEST_F(ConsoleTest, ACancelledOneEndsItsReaders) {
  auto qemu = connected();
  Console::Position position = 0;
  auto reading = loop_.start(console_->read(position));
  loop_.settle();
  loop_.run(end());
  EXPECT_EQ(loop_.finish(reading), "");
}

TEST_F(ConsoleTest, ALogThatCannotBeWrittenHoldsUpNobody) {
  std::filesystem::create_directory(log_path_);
  auto qemu = connected();
  Console::Position position = 0;
  say(qemu, "one");
  EXPECT_EQ(read(position, 3), "one");
  say(qemu, "two");
  EXPECT_EQ(read(position, 3), "two");
}

TEST_F(ConsoleTest, ALogThatWasRemovedIsNotMadeAgain) {
  auto qemu = connected();
  Console::Position position = 0;
  say(qemu, "one");
  wait_for_log("one");
  remove_log(log_path_);
  say(qemu, "two");
  EXPECT_EQ(read(position, 6), "onetwo");
  say(qemu, "three");
  read(position, 5);
  EXPECT_FALSE(std::filesystem::exists(log_path_));
}

}  // namespace
}  // namespace wso::domain
