// What QEMU prints, through a FIFO that it alone keeps open.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/stat.h>
#include <unistd.h>

#include <wso/base/error.hpp>
#include <wso/domain/messages.hpp>
#include <wso/domain/plan.hpp>
#include <wso/domain/rotated_log.hpp>

#include "../base/loop.hpp"
#include "../base/scratch.hpp"

namespace wso::domain {
namespace {

using wso::test::contents_of;
using wso::test::Loop;
using wso::test::Scratch;

class MessagesTest : public testing::Test {
 protected:
  // As QEMU prints: what does not fit is lost.
  void print(const std::string& text) const {
    (void)!::write(qemu_.get(), text.data(), text.size());
  }

  // Until nobody has anything left to take.
  void wait_until_taken() {
    const UniqueFd pipe = open_message_pipe(path_);
    pollfd entry{pipe.get(), POLLIN, 0};
    loop_.until([&] { return ::poll(&entry, 1, 0) == 0; });
  }

  Scratch scratch_;
  std::filesystem::path path_ = scratch_ / "web.messages";
  std::filesystem::path log_path_ = scratch_ / "web.log";
  UniqueFd qemu_ = create_message_pipe(path_);
  Loop loop_;
  asio::thread_pool worker_{1};
};

TEST_F(MessagesTest, AreTakenInOneGo) {
  const UniqueFd pipe = open_message_pipe(path_);
  EXPECT_EQ(take_messages(pipe), "");
  print("one\n");
  print("two\n");
  EXPECT_EQ(take_messages(pipe), "one\ntwo\n");
  EXPECT_EQ(take_messages(pipe), "");
}

TEST_F(MessagesTest, WaitForWhoComesLaterAndEndWithQemu) {
  print("early\n");
  const UniqueFd pipe = open_message_pipe(path_);
  print("last\n");
  qemu_.reset();
  EXPECT_EQ(take_messages(pipe), "early\nlast\n");
  EXPECT_EQ(take_messages(pipe), std::nullopt);
}

TEST_F(MessagesTest, ThatNobodyTakesAreLostAndNobodyWaits) {
  const std::string flood(100 * 1024, 'x');
  print(flood);
  EXPECT_EQ(::write(qemu_.get(), "more", 4), -1);
  EXPECT_EQ(errno, EAGAIN);
  const UniqueFd pipe = open_message_pipe(path_);
  EXPECT_EQ(take_messages(pipe).value_or("").size(), 64U * 1024);
}

TEST_F(MessagesTest, ThePipeIsRootsAloneAndReplacesAnother) {
  print("of an earlier QEMU");
  const UniqueFd next = create_message_pipe(path_);
  struct stat status {};
  ASSERT_EQ(::stat(path_.c_str(), &status), 0);
  EXPECT_EQ(status.st_mode, S_IFIFO | 0600U);
  EXPECT_EQ(take_messages(open_message_pipe(path_)), "");
}

TEST_F(MessagesTest, ThereMayBeNoPipe) {
  EXPECT_FALSE(open_message_pipe(scratch_ / "none"));
  EXPECT_THROW(create_message_pipe(scratch_ / "none/web.messages"), Error);
}

TEST_F(MessagesTest, AreKeptInALogUntilQemuHasGone) {
  create_log(log_path_);
  auto keeping = loop_.start(keep_messages(worker_, open_message_pipe(path_), log_path_));
  print("one\n");
  loop_.until([&] { return contents_of(log_path_) == "one\n"; });
  print("two\n");
  loop_.until([&] { return contents_of(log_path_) == "one\ntwo\n"; });
  EXPECT_FALSE(Loop::ready(keeping));
  print("last words\n");
  qemu_.reset();
  loop_.finish(keeping);
  EXPECT_EQ(contents_of(log_path_), "one\ntwo\nlast words\n");
}

TEST_F(MessagesTest, AFloodOfThemFillsTwoLogs) {
  create_log(log_path_);
  auto keeping = loop_.start(keep_messages(worker_, open_message_pipe(path_), log_path_));
  const std::string piece(32 * 1024, 'x');
  for (int sent = 0; sent < 3 * static_cast<int>(log_limit); sent += 32 * 1024) {
    print(piece);
    wait_until_taken();
  }
  qemu_.reset();
  loop_.finish(keeping);
  const auto size = contents_of(log_path_).size();
  EXPECT_GT(size, 0U);
  EXPECT_LE(size, log_limit);
  EXPECT_EQ(contents_of(previous_log(log_path_)).size(), log_limit);
}

TEST_F(MessagesTest, ALogThatCannotBeWrittenIsDoneWithout) {
  std::filesystem::create_directory(log_path_);
  auto keeping = loop_.start(keep_messages(worker_, open_message_pipe(path_), log_path_));
  print("lost\n");
  wait_until_taken();
  std::filesystem::remove(log_path_);
  create_log(log_path_);
  print("kept\n");
  loop_.until([&] { return contents_of(log_path_) == "kept\n"; });
  qemu_.reset();
  loop_.finish(keeping);
}

}  // namespace
}  // namespace wso::domain
