// Sockets under a path: none, a dead one, a full one, and the monitor of a real QEMU.
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#include <wso/base/unix_socket.hpp>

#include "../base/scratch.hpp"
#include "client_fixture.hpp"

namespace wso::qmp {
namespace {

using testing::Contains;
using testing::HasSubstr;

class ConnectTest : public testing::Test {
 protected:
  Error failure(const std::string& path) {
    return loop_.failure_of(Client::connect("QMP of web", path, milliseconds(50)));
  }

  test::Scratch dir_;
  test::Loop loop_;
};

TEST_F(ConnectTest, NothingThereIsDisconnected) {
  const auto error = failure(dir_ / "nothing");
  EXPECT_EQ(error.code(), Errc::disconnected);
  EXPECT_THAT(error.what(), HasSubstr((dir_ / "nothing").native()));
  EXPECT_THAT(error.what(), HasSubstr("No such file or directory"));
}

TEST_F(ConnectTest, ADeadSocketAndAFileAreDisconnected) {
  { const auto dead = listen_unix(dir_ / "dead", 0600); }
  EXPECT_EQ(failure(dir_ / "dead").code(), Errc::disconnected);
  EXPECT_EQ(failure(dir_.put("file", "x")).code(), Errc::disconnected);
}

TEST_F(ConnectTest, APathThatDoesNotFitIsInvalid) {
  EXPECT_EQ(failure(dir_ / std::string(200, 'x')).code(), Errc::invalid_argument);
}

TEST_F(ConnectTest, NobodyWhoAcceptsIsATimeout) {
  const auto fd = listen_unix(dir_ / "sock", 0600);
  EXPECT_EQ(failure(dir_ / "sock").code(), Errc::timeout);
}

TEST_F(ConnectTest, AFullQueueIsBusy) {
  const auto fd = listen_unix(dir_ / "sock", 0600);
  ASSERT_EQ(::listen(fd.get(), 0), 0);
  asio::local::stream_protocol::socket first(loop_.io);
  first.connect(asio::local::stream_protocol::endpoint(dir_ / "sock"));
  EXPECT_EQ(failure(dir_ / "sock").code(), Errc::busy);
}

// A QEMU without a machine, paused, whose monitor listens on a socket that it inherits.
class QemuTest : public ConnectTest {
 protected:
  void SetUp() override {
    const UniqueFd listener = listen_unix(dir_ / "qmp", 0600);
    pid_ = ::fork();
    ASSERT_GE(pid_, 0);
    if (pid_ > 0) return;
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    ::dup2(listener.get(), 30);  // without close-on-exec
    ::execlp("qemu-system-x86_64", "qemu-system-x86_64", "-nodefaults", "-machine", "none", "-S",
             "-display", "none", "-chardev", "socket,id=qmp,fd=30,server=on,wait=off", "-mon",
             "chardev=qmp,mode=control", nullptr);
    ::_exit(127);
  }

  void TearDown() override {
    if (pid_ <= 0) return;
    ::kill(pid_, SIGKILL);
    ::waitpid(pid_, nullptr, 0);
  }

  std::shared_ptr<Client> connect() {
    return loop_.run(Client::connect("QMP of web", dir_ / "qmp", milliseconds(10'000)));
  }

  pid_t pid_ = 0;
};

TEST_F(QemuTest, AnswersRefusesTellsAndQuits) {
  const auto client = connect();
  std::vector<std::string> events;
  client->on_event([&events](const Event& event) { events.push_back(event.name); });

  const Json status = loop_.run(client->query("query-status"));
  EXPECT_EQ(text_field(status, "status"), "prelaunch");

  const auto refusal = loop_.failure_of(client->query("no-such-command"));
  EXPECT_EQ(refusal.code(), Errc::process);
  EXPECT_THAT(refusal.what(), HasSubstr("The command no-such-command has not been found"));
  EXPECT_THAT(refusal.what(), HasSubstr("CommandNotFound"));

  loop_.run(client->query("quit"));
  loop_.until([&client] { return !client->connected(); });
  EXPECT_THAT(events, Contains("SHUTDOWN"));
  EXPECT_EQ(loop_.failure_of(client->query("query-status")).code(), Errc::disconnected);
}

TEST_F(QemuTest, AnswersRequestsThatOverlap) {
  const auto client = connect();
  std::vector<std::future<Json>> results;
  for (int round = 0; round < 100; ++round)
    results.push_back(loop_.start(client->execute("query-version", Json::object(), query_limit)));
  for (auto& result : results) EXPECT_NO_THROW(loop_.finish(result));
}

TEST_F(QemuTest, ServesOneClientAtATime) {
  auto first = connect();
  const auto error = failure(dir_ / "qmp");
  EXPECT_EQ(error.code(), Errc::timeout);
  EXPECT_THAT(error.what(), HasSubstr("another client may hold the monitor"));
  EXPECT_TRUE(first->connected());

  first.reset();
  const Json status = loop_.run(connect()->query("query-status"));
  EXPECT_EQ(text_field(status, "status"), "prelaunch");
}

TEST_F(QemuTest, KilledIsDisconnected) {
  const auto client = connect();
  auto result = loop_.start(client->execute("query-status", Json::object(), query_limit));
  loop_.finish(result);
  ::kill(pid_, SIGKILL);
  loop_.until([&client] { return !client->connected(); });
  EXPECT_EQ(loop_.failure_of(client->query("query-status")).code(), Errc::disconnected);
}

}  // namespace
}  // namespace wso::qmp
