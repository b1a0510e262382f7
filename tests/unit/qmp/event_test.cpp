// Events: in order, whatever the handler does, and without starving anybody else.
#include "client_fixture.hpp"

namespace wso::qmp {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

class EventTest : public ClientTest {
 protected:
  void listen() {
    client_->on_event([this](const Event& event) { seen_.push_back(event.name); });
  }

  std::vector<std::string> seen_;
};

TEST_F(EventTest, ComeInOrder) {
  connect();
  listen();
  for (const char* name : {"STOP", "RESUME", "SHUTDOWN"}) peer_.tell(name);
  loop_.settle();
  EXPECT_THAT(seen_, ElementsAre("STOP", "RESUME", "SHUTDOWN"));
}

TEST_F(EventTest, BeforeTheHandlerIsSetAreDropped) {
  connect();
  peer_.tell("STOP");
  loop_.settle();
  listen();
  peer_.tell("RESUME");
  loop_.settle();
  EXPECT_THAT(seen_, ElementsAre("RESUME"));
}

TEST_F(EventTest, AHandlerThatThrowsIsCalledAgain) {
  connect();
  client_->on_event([this](const Event& event) {
    seen_.push_back(event.name);
    throw std::runtime_error("expected in this test");
  });
  peer_.tell("STOP");
  peer_.tell("RESUME");
  loop_.settle();
  EXPECT_THAT(seen_, ElementsAre("STOP", "RESUME"));
  EXPECT_TRUE(client_->connected());
}

TEST_F(EventTest, AHandlerMayReplaceItself) {
  connect();
  client_->on_event([this](const Event& event) {
    listen();
    seen_.push_back("first " + event.name);
  });
  peer_.tell("STOP");
  peer_.tell("RESUME");
  loop_.settle();
  EXPECT_THAT(seen_, ElementsAre("first STOP", "RESUME"));
}

TEST_F(EventTest, NoneComesAfterTheHandlerHasClosedTheClient) {
  connect();
  client_->on_event([this](const Event& event) {
    client_->close();
    seen_.push_back(event.name);
  });
  auto result = ask("query-status");
  const std::string time = R"("timestamp": {"seconds": 1, "microseconds": 1}})";
  const std::string stop = R"({"event": "STOP", )" + time + "\n";
  peer_.say(stop + stop + "garbage\n");
  EXPECT_EQ(loop_.failure(result).code(), Errc::disconnected);
  EXPECT_THAT(seen_, ElementsAre("STOP"));
}

TEST_F(EventTest, AHandlerMayDropTheLastOwner) {
  connect();
  client_->on_event([this](const Event& event) {
    client_.reset();
    seen_.push_back(event.name);
  });
  peer_.tell("STOP");
  loop_.settle();
  EXPECT_THAT(seen_, ElementsAre("STOP"));
  peer_.wait_for_hang_up();
}

TEST_F(EventTest, TheHandlerGoesWithTheConnection) {
  connect();
  auto token = std::make_shared<int>(0);
  client_->on_event([token](const Event&) {});
  EXPECT_EQ(token.use_count(), 2);
  peer_.hang_up();
  loop_.until([this] { return !client_->connected(); });
  EXPECT_EQ(token.use_count(), 1);
  client_->on_event([token](const Event&) {});
  EXPECT_EQ(token.use_count(), 1);
}

TEST_F(EventTest, AFloodLetsOthersRun) {
  connect();
  listen();
  const std::string event = R"({"event": "STOP", "timestamp": {"seconds": 1, "microseconds": 1}})";
  constexpr std::size_t flood = 2000;
  std::string bytes;
  for (std::size_t count = 0; count < flood; ++count) bytes += event + "\n";
  ASSERT_EQ(peer_.send_now(bytes), bytes.size());
  // Every turn of the loop handles one chunk of 16 KiB at most, so this many go by meanwhile.
  std::size_t most_at_once = 0;
  loop_.until([this, &most_at_once, before = std::size_t{0}]() mutable {
    most_at_once = std::max(most_at_once, seen_.size() - before);
    before = seen_.size();
    return seen_.size() == flood;
  });
  EXPECT_LE(most_at_once, 16 * 1024 / event.size() + 1);
}

}  // namespace
}  // namespace wso::qmp
