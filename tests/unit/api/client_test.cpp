// The blocking client against a scripted server: answers whole, late, cut, wrong and missing.
#include <future>

#include <gtest/gtest.h>
#include <sys/fsuid.h>
#include <sys/stat.h>

#include <wso/base/file.hpp>
#include <wso/client.hpp>

#include "scripted_server.hpp"

namespace wso {
namespace {

using namespace std::chrono_literals;
using test::ScriptedServer;
using test::TemporaryDirectory;

std::string echo(const api::Request& request) {
  return api::format_result(request.id, request.params);
}

template <typename Action>
Error refusal(Action action) {
  try {
    action();
  } catch (const Error& error) {
    return error;
  }
  ADD_FAILURE() << "no error";
  return {Errc::internal, "no error"};
}

// The error of a call that the server answers with these bytes.
Error refusal_of(const std::string& answer) {
  ScriptedServer server([answer](const api::Request& /*request*/) { return answer; });
  return refusal([&server] { Client(server.path()).call("m"); });
}

TEST(Client, CallsAgainAndAgain) {
  ScriptedServer server(echo);
  Client client(server.path());
  for (int i = 0; i < 3; ++i) EXPECT_EQ(client.call("m", {{"i", i}}), (Json{{"i", i}}));
  ASSERT_EQ(server.requests().size(), 3U);
  EXPECT_NE(server.requests()[0].id, server.requests()[1].id);
}

TEST(Client, GoesOnWaitingAfterALimit) {
  std::promise<void> asked;
  ScriptedServer server([&asked](const api::Request& request) {
    asked.get_future().wait_for(30s);
    return echo(request);
  });
  Client client(server.path());
  client.send("m", {{"a", 1}});
  EXPECT_EQ(client.wait(0ms), std::nullopt);
  EXPECT_EQ(client.wait(20ms), std::nullopt);
  asked.set_value();
  EXPECT_EQ(client.wait(30s), (Json{{"a", 1}}));
}

TEST(Client, ThrowsTheErrorOfTheDaemonWithItsCode) {
  ScriptedServer server([](const api::Request& request) {
    return api::format_error(request.id, Error(Errc::not_found, "there is no domain 'web'"));
  });
  Client client(server.path());
  const Error error = refusal([&client] { client.call("m"); });
  EXPECT_EQ(error.code(), Errc::not_found);
  EXPECT_STREQ(error.what(), "there is no domain 'web'");
}

TEST(Client, TakesALargeAnswer) {
  const Json large = {{"script", std::string(8UL * 1024 * 1024, 'x')}};
  ScriptedServer server(
      [&large](const api::Request& request) { return api::format_result(request.id, large); });
  EXPECT_EQ(Client(server.path()).call("m"), large);
}

TEST(Client, RefusesToSendAHugeRequest) {
  ScriptedServer server(echo);
  Client client(server.path());
  const Json huge = {{"text", std::string(api::message_limit, 'x')}};
  EXPECT_EQ(refusal([&] { client.call("m", huge); }).code(), Errc::invalid_argument);
  EXPECT_EQ(client.call("m"), Json::object());
}

TEST(Client, RefusesAnAnswerWithoutEnd) {
  const Error error = refusal_of(std::string(65UL * 1024 * 1024, 'x'));
  EXPECT_EQ(error.code(), Errc::protocol);
  EXPECT_STREQ(error.what(), "wsod's answer is longer than 67108864 bytes");
}

TEST(Client, RefusesNonsense) {
  for (const char* answer :
       {"hello\n", "\n", "{}\n", "\xff\xfe\n", "{\"jsonrpc\":\"2.0\",\"id\":99,\"result\":{}}\n"}) {
    const Error error = refusal_of(answer);
    EXPECT_EQ(error.code(), Errc::protocol) << answer;
  }
}

TEST(Client, NoticesAHangUp) {
  const Error none = refusal_of("");
  EXPECT_EQ(none.code(), Errc::disconnected);
  EXPECT_NE(std::string_view(none.what()).find("without an answer"), std::string::npos);
  const Error half = refusal_of(R"({"jsonrpc":"2.0","id":1,"resu)");
  EXPECT_EQ(half.code(), Errc::disconnected);
  EXPECT_NE(std::string_view(half.what()).find("in the middle of its answer"), std::string::npos);
}

TEST(Client, SurvivesSendingToADaemonThatIsGone) {
  ScriptedServer server([](const api::Request& /*request*/) { return ""; });
  Client client(server.path());
  EXPECT_EQ(refusal([&client] { client.call("m"); }).code(), Errc::disconnected);
  EXPECT_EQ(refusal([&client] { client.call("m"); }).code(), Errc::disconnected);
}

TEST(Client, SaysWhatToDoIfNobodyListens) {
  const TemporaryDirectory directory;
  write_all(create_new_file(directory.path() + "/file", 0600).get(), "x", "file");
  for (const char* name : {"/none", "/none/none", "/file", "/file/none"}) {
    const std::string path = directory.path() + name;
    const Error error = refusal([&path] { Client client(path); });
    EXPECT_EQ(error.code(), Errc::disconnected);
    EXPECT_EQ(error.what(), "no wsod answers on " + path +
                                ": start it (wsod run) or name its socket with --socket");
  }
}

TEST(Client, SaysWhoMayAsk) {
  ScriptedServer server(echo);
  ASSERT_EQ(::chmod(server.path().c_str(), 0), 0);
  const auto user = static_cast<uid_t>(::setfsuid(65534));
  const Error error = refusal([&server] { Client client(server.path()); });
  ::setfsuid(user);
  EXPECT_EQ(error.code(), Errc::permission);
  EXPECT_NE(std::string_view(error.what()).find("be root or a member of group wso"),
            std::string::npos)
      << error.what();
}

TEST(Client, RefusesAPathTooLongForASocket) {
  const std::string path = '/' + std::string(108, 'x');
  EXPECT_EQ(refusal([&path] { Client client(path); }).code(), Errc::invalid_argument);
}

}  // namespace
}  // namespace wso
