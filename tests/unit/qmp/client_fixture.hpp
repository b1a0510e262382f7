// A client whose QEMU is played by the test.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <wso/qmp/client.hpp>

#include "peer.hpp"

namespace wso::qmp {

class ClientTest : public testing::Test {
 protected:
  static constexpr milliseconds soon{20};
  static constexpr milliseconds long_enough = std::chrono::hours(1);

  std::future<std::shared_ptr<Client>> negotiate(milliseconds limit = long_enough) {
    return loop_.start(Client::negotiate("QMP of web", peer_.socket(), limit));
  }

  void connect() {
    auto negotiated = negotiate();
    peer_.say(test::Peer::greeting);
    const Json request = peer_.hear();
    EXPECT_EQ(request.at("execute"), "qmp_capabilities");
    peer_.reply(request.at("id"), Json::object());
    client_ = loop_.finish(negotiated);
  }

  std::future<Json> ask(std::string command, milliseconds limit = long_enough) {
    return loop_.start(client_->execute(std::move(command), Json::object(), limit));
  }

  // Sends the bytes while a request waits, and checks that they end the client.
  void expect_violation(std::string_view bytes) {
    connect();
    auto first = ask("query-status");
    auto second = ask("query-block");
    peer_.say(bytes);
    for (auto* result : {&first, &second}) {
      const auto error = loop_.failure(*result);
      EXPECT_EQ(error.code(), Errc::protocol) << error.what();
      EXPECT_THAT(error.what(), testing::StartsWith("QMP of web: QEMU broke the protocol: "));
    }
    EXPECT_FALSE(client_->connected());
    peer_.wait_for_hang_up();
  }

  test::Loop loop_;
  test::Peer peer_{loop_};
  std::shared_ptr<Client> client_;
};

}  // namespace wso::qmp
