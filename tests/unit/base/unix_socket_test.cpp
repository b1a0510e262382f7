// Listening sockets under a path: their mode, and what was there before.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <unistd.h>

#include <wso/base/unix_socket.hpp>

#include "scratch.hpp"

namespace wso {
namespace {

namespace fs = std::filesystem;
using test::failure_of_call;
using test::mode_of;
using testing::HasSubstr;

class UnixSocketTest : public testing::Test {
 protected:
  // Somebody's that nobody listens on.
  fs::path test_socket() const {
    const auto dead = listen_unix(dir_ / "dead", 0600);
    return dir_ / "dead";
  }

  test::Scratch dir_;
};

TEST_F(UnixSocketTest, AnswersWhileItIsOpen) {
  auto fd = listen_unix(dir_ / "sock", 0600);
  EXPECT_TRUE(answers_unix(dir_ / "sock"));
  fd.reset();
  EXPECT_FALSE(answers_unix(dir_ / "sock"));
}

TEST_F(UnixSocketTest, NothingAndAFileDoNotAnswer) {
  EXPECT_FALSE(answers_unix(dir_ / "nothing"));
  EXPECT_FALSE(answers_unix(dir_.put("file", "x")));
}

TEST_F(UnixSocketTest, AFullQueueIsAnAnswer) {
  const auto fd = listen_unix(dir_ / "sock", 0600);
  ASSERT_EQ(::listen(fd.get(), 0), 0);
  const auto queued = dir_ / "sock";
  EXPECT_TRUE(answers_unix(queued));
  EXPECT_TRUE(answers_unix(queued));
  EXPECT_TRUE(answers_unix(queued));
}

TEST_F(UnixSocketTest, HasTheModeWhateverTheUmask) {
  for (const mode_t mask : {0U, 077U, 0777U}) {
    const auto fd = test::with_umask(mask, [this] { return listen_unix(dir_ / "sock", 0660); });
    EXPECT_EQ(mode_of(dir_ / "sock"), 0660U) << "umask " << mask;
  }
}

TEST_F(UnixSocketTest, HasTheGroup) {
  const auto fd = listen_unix(dir_ / "sock", 0660, ::getgid());
  struct stat status {};
  ASSERT_EQ(::stat((dir_ / "sock").c_str(), &status), 0);
  EXPECT_EQ(status.st_gid, ::getgid());
}

TEST_F(UnixSocketTest, TakesOverFromTheDead) {
  { const auto dead = listen_unix(dir_ / "sock", 0600); }
  ASSERT_TRUE(fs::is_socket(dir_ / "sock"));
  const auto fd = listen_unix(dir_ / "sock", 0600);
  EXPECT_TRUE(answers_unix(dir_ / "sock"));
}

TEST_F(UnixSocketTest, GetsPastWhatACrashLeft) {
  ::rename(test_socket().c_str(), (dir_ / "sock.new").c_str());
  const auto fd = listen_unix(dir_ / "sock", 0600);
  EXPECT_TRUE(answers_unix(dir_ / "sock"));
  EXPECT_FALSE(fs::exists(dir_ / "sock.new"));
}

TEST_F(UnixSocketTest, DoesNotLeakOrBlock) {
  const auto fd = listen_unix(dir_ / "sock", 0600);
  EXPECT_EQ(::accept(fd.get(), nullptr, nullptr), -1);
  EXPECT_EQ(errno, EAGAIN);
}

TEST_F(UnixSocketTest, RefusesAPathThatDoesNotFit) {
  EXPECT_NO_THROW(check_socket_path(std::string(107, 'x')));
  for (const std::size_t length : {108U, 109U, 5000U}) {
    const auto error = failure_of_call([&] { check_socket_path(std::string(length, 'x')); });
    EXPECT_EQ(error.code(), Errc::invalid_argument);
    EXPECT_THAT(error.what(), HasSubstr("107 bytes"));
  }
  EXPECT_THROW(listen_unix(dir_ / std::string(108, 'x'), 0600), Error);
  EXPECT_THROW(answers_unix(dir_ / std::string(108, 'x')), Error);
}

TEST_F(UnixSocketTest, RefusesAnEmptyPath) {
  const auto error = failure_of_call([] { check_socket_path(""); });
  EXPECT_EQ(error.code(), Errc::invalid_argument);
  EXPECT_THAT(error.what(), HasSubstr("empty"));
  EXPECT_THROW(listen_unix("", 0600), Error);
  EXPECT_THROW(answers_unix(""), Error);
  EXPECT_THROW(connect_unix(""), Error);
  EXPECT_FALSE(fs::exists(".new"));
}

TEST_F(UnixSocketTest, ReplacesNothingButSockets) {
  const auto file = dir_.put("file", "precious");
  fs::create_directory(dir_ / "directory");
  fs::create_symlink(dir_ / "nowhere", dir_ / "dangling");
  fs::create_symlink(file, dir_ / "link");
  fs::create_symlink(test_socket(), dir_ / "link-to-socket");
  ASSERT_EQ(::mkfifo((dir_ / "fifo").c_str(), 0600), 0);
  for (const char* name : {"file", "directory", "dangling", "link", "link-to-socket", "fifo"}) {
    const auto before = fs::symlink_status(dir_ / name).type();
    const auto error = failure_of_call([&] { listen_unix(dir_ / name, 0600); });
    EXPECT_EQ(error.code(), Errc::already_exists) << name;
    EXPECT_THAT(error.what(), HasSubstr((dir_ / name).native() + " is there already"));
    EXPECT_EQ(fs::symlink_status(dir_ / name).type(), before) << name;
    EXPECT_FALSE(fs::exists(dir_ / (name + std::string(".new")))) << name;
  }
  EXPECT_EQ(test::contents_of(file), "precious");
  EXPECT_FALSE(fs::exists(dir_ / "nowhere"));
}

TEST_F(UnixSocketTest, ReplacesNothingButSocketsWhileItIsMade) {
  const auto file = dir_.put("sock.new", "precious");
  const auto error = failure_of_call([this] { listen_unix(dir_ / "sock", 0600); });
  EXPECT_EQ(error.code(), Errc::already_exists);
  EXPECT_THAT(error.what(), HasSubstr(file.native()));
  EXPECT_EQ(test::contents_of(file), "precious");
  EXPECT_FALSE(fs::exists(dir_ / "sock"));
}

TEST_F(UnixSocketTest, ConnectsAndSaysWhyNot) {
  auto listener = listen_unix(dir_ / "sock", 0600);
  const auto connection = connect_unix(dir_ / "sock");
  ASSERT_TRUE(connection);
  EXPECT_EQ(::fcntl(connection.get(), F_GETFL) & O_NONBLOCK, 0);
  EXPECT_EQ(::fcntl(connection.get(), F_GETFD), FD_CLOEXEC);
  listener.reset();
  EXPECT_FALSE(connect_unix(dir_ / "sock"));
  EXPECT_EQ(errno, ECONNREFUSED);
  EXPECT_FALSE(connect_unix(dir_ / "nothing"));
  EXPECT_EQ(errno, ENOENT);
}

TEST_F(UnixSocketTest, FailureLeavesNothing) {
  fs::create_directory(dir_ / "sock");
  EXPECT_THROW(listen_unix(dir_ / "sock", 0600), Error);
  EXPECT_FALSE(fs::exists(dir_ / "sock.new"));
  EXPECT_THROW(listen_unix(dir_ / "no/sock", 0600), Error);
}

}  // namespace
}  // namespace wso
