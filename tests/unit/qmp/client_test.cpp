// Requests on a connection: replies in any order, late, forged or never; and every way it can end.
#include "client_fixture.hpp"

namespace wso::qmp {
namespace {

using testing::HasSubstr;
using testing::StartsWith;

TEST_F(ClientTest, ReturnsWhatQemuReturns) {
  connect();
  auto result = loop_.start(client_->query("query-status"));
  const Json request = peer_.hear();
  EXPECT_EQ(request.at("execute"), "query-status");
  peer_.reply(request.at("id"), Json{{"running", true}});
  const Json expected{{"running", true}};
  EXPECT_EQ(loop_.finish(result), expected);
}

TEST_F(ClientTest, RepliesMayComeInAnyOrder) {
  connect();
  auto first = ask("query-status");
  auto second = ask("query-block");
  const Json one = peer_.hear();
  const Json two = peer_.hear();
  peer_.reply(two.at("id"), "second");
  peer_.reply(one.at("id"), "first");
  EXPECT_EQ(loop_.finish(first), Json("first"));
  EXPECT_EQ(loop_.finish(second), Json("second"));
}

TEST_F(ClientTest, RepliesMayComeInPiecesAndWithEventsBetween) {
  connect();
  auto result = ask("query-status");
  const Json request = peer_.hear();
  peer_.tell("RESUME");
  const std::string line = dump_json({{"return", "x"}, {"id", request.at("id")}}) + "\r\n";
  for (const char byte : line) {
    EXPECT_FALSE(test::Loop::ready(result));
    peer_.say({&byte, 1});
    loop_.settle();
  }
  EXPECT_EQ(loop_.finish(result), Json("x"));
}

TEST_F(ClientTest, ARefusalIsQemusOwnWords) {
  connect();
  auto result = ask("device_del");
  const auto id = peer_.hear().at("id").get<std::uint64_t>();
  peer_.say(fmt::format(
      R"({{"error": {{"class": "DeviceNotFound", "desc": "No\nnic0\u001b[2J"}}, "id": {}}})"
      "\n",
      id));
  const auto error = loop_.failure(result);
  EXPECT_EQ(error.code(), Errc::process);
  EXPECT_STREQ(error.what(),
               "QMP of web: device_del refused: \"No\\nnic0\\u001b[2J\" (\"DeviceNotFound\")");
  EXPECT_TRUE(client_->connected());
}

TEST_F(ClientTest, LargeRequestsThatOverlapAreNotMixed) {
  connect();
  const std::string much(1'000'000, 'x');
  std::vector<std::future<Json>> results;
  for (int round = 0; round < 3; ++round)
    results.push_back(loop_.start(client_->execute("x", Json{{"much", much}}, long_enough)));
  for (auto& result : results) {
    const Json request = peer_.hear();
    EXPECT_EQ(request.at("arguments").at("much"), much);
    peer_.reply(request.at("id"), "done");
    EXPECT_EQ(loop_.finish(result), Json("done"));
  }
}

TEST_F(ClientTest, ATimeoutNamesTheCommandAndItsLateReplyIsSwallowed) {
  connect();
  auto late = ask("query-block", soon);
  const Json request = peer_.hear();
  const auto error = loop_.failure(late);
  EXPECT_EQ(error.code(), Errc::timeout);
  EXPECT_THAT(error.what(), StartsWith("QMP of web: query-block: no answer within"));
  auto next = ask("query-status");
  peer_.reply(request.at("id"), "late");
  peer_.reply(peer_.hear().at("id"), "in time");
  EXPECT_EQ(loop_.finish(next), Json("in time"));
}

TEST_F(ClientTest, ACancelledRequestLeavesTheOthersAlone) {
  connect();
  asio::cancellation_signal signal;
  auto cancelled =
      loop_.start(client_->execute("query-block", Json::object(), long_enough), signal);
  auto other = ask("query-status");
  const Json first = peer_.hear();
  signal.emit(asio::cancellation_type::terminal);
  EXPECT_EQ(loop_.failure(cancelled).code(), Errc::cancelled);
  peer_.reply(first.at("id"), "late");
  peer_.reply(peer_.hear().at("id"), "mine");
  EXPECT_EQ(loop_.finish(other), Json("mine"));
}

TEST_F(ClientTest, ManyUnansweredRequestsAreBusy) {
  connect();
  std::vector<std::future<Json>> results;
  for (int round = 0; round < 256; ++round) results.push_back(ask("query-status"));
  auto one_more = ask("query-status");
  EXPECT_EQ(loop_.failure(one_more).code(), Errc::busy);
  peer_.reply(peer_.hear().at("id"), "x");
  EXPECT_EQ(loop_.finish(results.front()), Json("x"));
  auto another = ask("query-status");
  loop_.settle();
  EXPECT_FALSE(test::Loop::ready(another));
}

TEST_F(ClientTest, GarbageIsAViolation) { expect_violation("garbage\n"); }

TEST_F(ClientTest, AnIncompleteObjectIsAViolation) { expect_violation("{\"return\": {}\n"); }

TEST_F(ClientTest, DepthIsAViolation) {
  expect_violation("{\"id\": 2, \"return\": " + std::string(1'000'000, '[') + "\n");
}

TEST_F(ClientTest, AReplyToWhatWasNeverSentIsAViolation) {
  expect_violation("{\"return\": {}, \"id\": 4711}\n");
}

TEST_F(ClientTest, AReplyWithoutAnIdIsAViolation) { expect_violation("{\"return\": {}}\n"); }

TEST_F(ClientTest, ASecondReplyIsAViolation) { expect_violation("{\"return\": {}, \"id\": 1}\n"); }

TEST_F(ClientTest, ARefusalWithoutAnIdIsAViolation) {
  expect_violation("{\"error\": {\"class\": \"GenericError\", \"desc\": \"what?\"}}\n");
}

TEST_F(ClientTest, ASecondGreetingIsAViolation) { expect_violation(test::Peer::greeting); }

TEST_F(ClientTest, ALineWithoutAnEndIsAViolationAtTheLimit) {
  expect_violation(std::string(message_limit + 1'000'000, 'x'));
}

TEST_F(ClientTest, AViolationIsTheAnswerToLaterRequestsToo) {
  expect_violation("garbage\n");
  auto later = ask("query-status");
  EXPECT_EQ(loop_.failure(later).code(), Errc::protocol);
}

TEST_F(ClientTest, TheEndFailsAllWaitersAtOnce) {
  connect();
  auto first = ask("query-status");
  auto second = ask("query-block");
  peer_.hear();
  peer_.hang_up();
  for (auto* result : {&first, &second}) {
    const auto error = loop_.failure(*result);
    EXPECT_EQ(error.code(), Errc::disconnected);
    EXPECT_THAT(error.what(), HasSubstr("QMP of web: the connection ended"));
  }
  EXPECT_FALSE(client_->connected());
  auto later = ask("query-status");
  EXPECT_EQ(loop_.failure(later).code(), Errc::disconnected);
}

TEST_F(ClientTest, TheEndInTheMiddleOfALineIsDisconnected) {
  connect();
  auto result = ask("query-status");
  peer_.say("{\"return\": {}, \"id\"");
  peer_.hang_up();
  EXPECT_EQ(loop_.failure(result).code(), Errc::disconnected);
}

TEST_F(ClientTest, AReplyRightBeforeTheEndStillCounts) {
  connect();
  auto result = ask("quit");
  peer_.reply(peer_.hear().at("id"), "bye");
  auto unanswered = ask("query-status");
  peer_.hang_up();
  EXPECT_EQ(loop_.finish(result), Json("bye"));
  EXPECT_EQ(loop_.failure(unanswered).code(), Errc::disconnected);
}

TEST_F(ClientTest, WhatQemuSaidBeforeItStoppedReadingStillCounts) {
  connect();
  auto answered = ask("quit");
  const auto id = peer_.hear().at("id").get<std::uint64_t>();
  peer_.stop_reading();
  // So much that the failed write is noticed before the client has read all of it.
  std::string bytes;
  while (bytes.size() < 100'000)
    bytes += R"({"event": "STOP", "timestamp": {"seconds": 1, "microseconds": 1}})"
             "\n";
  bytes += dump_json({{"return", "bye"}, {"id", id}}) + "\n";
  ASSERT_EQ(peer_.send_now(bytes), bytes.size());
  auto refused = ask("query-status");
  EXPECT_EQ(loop_.finish(answered), Json("bye"));
  EXPECT_EQ(loop_.failure(refused).code(), Errc::disconnected);
}

TEST_F(ClientTest, CloseFailsWaitersAndMayBeCalledTwice) {
  connect();
  auto result = ask("query-status");
  loop_.settle();
  client_->close();
  client_->close();
  EXPECT_EQ(loop_.failure(result).code(), Errc::disconnected);
  EXPECT_FALSE(client_->connected());
  peer_.hear();
  peer_.wait_for_hang_up();
}

TEST_F(ClientTest, TheLastOwnerEndsTheConnection) {
  connect();
  auto result = ask("query-status");
  peer_.hear();
  client_.reset();
  EXPECT_EQ(loop_.failure(result).code(), Errc::disconnected);
  peer_.wait_for_hang_up();
}

TEST_F(ClientTest, ARequestThatWasNotStartedOutlivesTheClient) {
  connect();
  auto request = client_->query("query-status");
  client_.reset();
  EXPECT_EQ(loop_.failure_of(std::move(request)).code(), Errc::disconnected);
}

TEST_F(ClientTest, ALoopThatIsDestroyedTakesAllWithIt) {
  auto loop = std::make_unique<test::Loop>();
  test::Peer peer(*loop);
  auto negotiated = loop->start(Client::negotiate("QMP of web", peer.socket(), long_enough));
  peer.say(test::Peer::greeting);
  loop->settle();
  loop.reset();
  EXPECT_THROW(negotiated.get(), std::future_error);
}

}  // namespace
}  // namespace wso::qmp
