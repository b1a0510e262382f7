// From a connected socket to a client: what a QEMU, or something else, may do instead of greeting.
#include "client_fixture.hpp"

namespace wso::qmp {
namespace {

using testing::HasSubstr;

using HandshakeTest = ClientTest;

TEST_F(HandshakeTest, NegotiatesWhenAllIsWell) {
  connect();
  EXPECT_TRUE(client_->connected());
  EXPECT_TRUE(peer_.silent());
}

TEST_F(HandshakeTest, TakesTheGreetingByteByByte) {
  auto negotiated = negotiate();
  for (const char byte : test::Peer::greeting) {
    peer_.say({&byte, 1});
    loop_.settle();
  }
  peer_.reply(peer_.hear().at("id"), Json::object());
  EXPECT_TRUE(loop_.finish(negotiated)->connected());
}

TEST_F(HandshakeTest, SilenceIsATimeoutThatNamesTheLikelyCause) {
  auto negotiated = negotiate(soon);
  const auto error = loop_.failure(negotiated);
  EXPECT_EQ(error.code(), Errc::timeout);
  EXPECT_THAT(error.what(), HasSubstr("QMP of web"));
  EXPECT_THAT(error.what(), HasSubstr("another client may hold the monitor"));
  peer_.wait_for_hang_up();
}

TEST_F(HandshakeTest, AGreetingAloneIsATimeoutToo) {
  auto negotiated = negotiate(soon);
  peer_.say(test::Peer::greeting);
  EXPECT_EQ(loop_.failure(negotiated).code(), Errc::timeout);
  peer_.wait_for_hang_up();
}

TEST_F(HandshakeTest, HalfAGreetingIsATimeoutToo) {
  auto negotiated = negotiate(soon);
  peer_.say(test::Peer::greeting.substr(0, 30));
  EXPECT_EQ(loop_.failure(negotiated).code(), Errc::timeout);
}

TEST_F(HandshakeTest, TheEndBeforeTheGreetingIsDisconnected) {
  auto negotiated = negotiate();
  peer_.hang_up();
  const auto error = loop_.failure(negotiated);
  EXPECT_EQ(error.code(), Errc::disconnected);
  EXPECT_THAT(error.what(), HasSubstr("QMP of web: the connection ended"));
}

TEST_F(HandshakeTest, TheEndAfterTheGreetingIsDisconnected) {
  auto negotiated = negotiate();
  peer_.say(test::Peer::greeting);
  peer_.hang_up();
  EXPECT_EQ(loop_.failure(negotiated).code(), Errc::disconnected);
}

TEST_F(HandshakeTest, WhatIsNoGreetingIsAViolation) {
  for (const char* line :
       {"SSH-2.0-OpenSSH_9.2\r\n", "{}\n", "{\"return\": {}, \"id\": 1}\n",
        "{\"event\": \"STOP\", \"timestamp\": {\"seconds\": 1, \"microseconds\": 1}}\n",
        "{\"error\": {\"class\": \"a\", \"desc\": \"b\"}, \"id\": 1}\n"}) {
    test::Peer peer(loop_);
    auto negotiated = loop_.start(Client::negotiate("QMP of web", peer.socket(), long_enough));
    peer.say(line);
    EXPECT_EQ(loop_.failure(negotiated).code(), Errc::protocol) << line;
    peer.wait_for_hang_up();
  }
}

TEST_F(HandshakeTest, ASecondGreetingIsAViolation) {
  auto negotiated = negotiate();
  peer_.say(test::Peer::greeting);
  peer_.say(test::Peer::greeting);
  EXPECT_EQ(loop_.failure(negotiated).code(), Errc::protocol);
}

TEST_F(HandshakeTest, ARefusalOfTheNegotiationIsShown) {
  auto negotiated = negotiate();
  peer_.say(test::Peer::greeting);
  peer_.say("{\"error\": {\"class\": \"CommandNotFound\", \"desc\": \"too old\"}, \"id\": 1}\n");
  const auto error = loop_.failure(negotiated);
  EXPECT_EQ(error.code(), Errc::process);
  EXPECT_THAT(error.what(), HasSubstr("too old"));
  peer_.wait_for_hang_up();
}

TEST_F(HandshakeTest, CanBeCancelled) {
  asio::cancellation_signal signal;
  auto negotiated =
      loop_.start(Client::negotiate("QMP of web", peer_.socket(), long_enough), signal);
  loop_.settle();
  signal.emit(asio::cancellation_type::terminal);
  EXPECT_EQ(loop_.failure(negotiated).code(), Errc::cancelled);
  peer_.wait_for_hang_up();
}

}  // namespace
}  // namespace wso::qmp
