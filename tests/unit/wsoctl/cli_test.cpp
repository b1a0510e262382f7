// The real wsoctl against a scripted daemon: command line, exit statuses, and what goes where.
#include <cstdlib>

#include <gtest/gtest.h>
#include <sys/wait.h>

#include <wso/api/wire.hpp>

#include "command_fixture.hpp"

namespace wso::wsoctl {
namespace {

using namespace wso::test;  // NOLINT(google-build-using-namespace)
using api::Request;

TEST(Usage, IsWrongWithStatus2AndOneSentence) {
  const std::vector<std::vector<std::string>> wrong{
      {},
      {"fly"},
      {"--fly"},
      {"list", "web"},
      {"network"},
      {"network", "fly"},
      {"network", "show"},
      {"launch"},
      {"launch", "web", "db"},
      {"launch", "web", "--cpus", "0"},
      {"launch", "web", "--cpus", "-1"},
      {"launch", "web", "--cpus", "2x"},
      {"launch", "web", "--cpus", "99999999999"},
      {"launch", "web", "--memory", "512"},
      {"launch", "web", "--memory", "0M"},
      {"launch", "web", "--memory", "99999999T"},
      {"launch", "web", "--memory", "1G", "--memory-kib", "4096"},
      {"launch", "web", "--memory-kib", "-5"},
      {"launch", "web", "--disk-size", "0"},
      {"launch", "web", "--disk-size", "-1G"},
      {"launch", "web", "--disk-size", "9223372036854775808"},
      {"launch", "web", "--iso", ""},
      {"launch", "web", "--wait=http"},
      {"launch", "web", "--wait=ping", "--paused"},
      {"launch", "web", "--timeout", "5"},
      {"launch", "web", "--wait", "--timeout", "0"},
      {"destroy"},
      {"netconfig"},
      {"console"},
      {"console", "web", "db"},
      {"logs"},
      {"logs", "web", "--tail", "-1"},
      {"logs", "web", "--tail", "x"},
      {"events", "web"},
      {"events", "--since", "-1"},
      {"events", "--since", "99999999999999999999"},
      {"--socket", "", "list"},
      {"--workdir", "", "list"},
      {"--socket", std::string(108, 'x'), "list"}};
  for (const auto& arguments : wrong) {
    const Outcome outcome = run(arguments);
    const std::string shown = testing::PrintToString(arguments);
    EXPECT_EQ(outcome.status, 2) << shown;
    EXPECT_EQ(outcome.output, "") << shown;
    EXPECT_TRUE(outcome.errors.starts_with("wsoctl: ")) << shown << outcome.errors;
    EXPECT_EQ(outcome.errors.find('\n'), outcome.errors.size() - 1) << shown << outcome.errors;
  }
}

TEST(Usage, NamesTheOptionAndItsText) {
  EXPECT_EQ(run({"launch", "web", "--memory", "512"}).errors,
            "wsoctl: --memory 512: add the unit that is meant, such as 512M or 512G\n");
  EXPECT_EQ(run({"\033[31m"}).errors,
            "wsoctl: The following argument was not expected: ?[31m; see wsoctl --help\n");
}

TEST(Usage, HelpIsNoFailure) {
  const Outcome outcome = run({"launch", "--help"});
  EXPECT_EQ(outcome.status, 0);
  EXPECT_TRUE(holds(outcome.output, "--disk-size SIZE"));
  EXPECT_EQ(outcome.errors, "");
}

TEST(Version, NeedsNoDaemon) {
  const Outcome text = run({"--socket", "/nonexistent", "version"});
  EXPECT_EQ(text.status, 0);
  EXPECT_TRUE(text.output.starts_with("wsoctl ")) << text.output;
  const Outcome json = run({"--json", "version"});
  EXPECT_EQ("wsoctl " + Json::parse(json.output)["version"].get<std::string>() + '\n', text.output);
}

TEST(NoDaemon, IsStatus3) {
  const TemporaryDirectory directory;
  const std::string path = directory.path() + "/none";
  const std::string sentence = "wsoctl: no wsod answers on " + path +
                               ": start it (wsod run) or name its socket with --socket\n";
  for (const char* command : {"check", "info"}) {
    const Outcome outcome = run({"--json", "--socket", path, command});
    EXPECT_EQ(outcome.status, 3);
    EXPECT_EQ(outcome.output, "");
    EXPECT_EQ(outcome.errors, sentence);
  }
  // These look for records.
  for (const char* command : {"list", "status"}) {
    const Outcome outcome = run({"--json", "--socket", path, "--workdir", path, command});
    EXPECT_EQ(outcome.status, 3);
    EXPECT_EQ(outcome.output, "");
    EXPECT_EQ(outcome.errors, sentence + "wsoctl: there are no records in " + path +
                                  "/domains: name wsod's workdir with --workdir\n");
  }
}

TEST(Socket, IsTakenFromTheEnvironment) {
  ScriptedServer server(always({{"domains", Json::array()}}));
  ::setenv("WSO_SOCKET", server.path().c_str(), 1);
  const Outcome asked = run({"list"});
  const Outcome overridden = run({"--socket", "/nonexistent", "info"});
  ::unsetenv("WSO_SOCKET");
  EXPECT_EQ(asked.status, 0);
  EXPECT_EQ(overridden.status, 3);
}

TEST(Failure, IsStatus1AndTheSentenceOfTheDaemon) {
  ScriptedServer server(never(Errc::not_found, "there is no domain 'web'\n\033[31m"));
  const std::vector<std::vector<std::string>> commands{{"launch", "web"},
                                                       {"list"},
                                                       {"status", "web"},
                                                       {"destroy", "web"},
                                                       {"check", "web"},
                                                       {"netconfig", "web"},
                                                       {"console", "web"},
                                                       {"logs", "web"},
                                                       {"events"},
                                                       {"network", "list"},
                                                       {"network", "show", "n"},
                                                       {"info"}};
  for (std::vector<std::string> arguments : commands) {
    arguments.insert(arguments.begin(), "--json");
    const Outcome outcome = run(server, arguments);
    EXPECT_EQ(outcome.status, 1);
    EXPECT_EQ(outcome.output, "");
    EXPECT_EQ(outcome.errors, "wsoctl: there is no domain 'web' ?[31m\n");
  }
}

TEST(Failure, OfTheDaemonIsNeverStatus3) {
  ScriptedServer server(never(Errc::disconnected, "QEMU hung up"));
  EXPECT_EQ(run(server, {"status"}).status, 1);
}

TEST(BadAnswer, IsStatus1AndNoOutput) {
  const std::vector<std::vector<std::string>> commands{{"list"}, {"list", "--json"}};
  for (const char* answer : {"", "{\"jsonrpc\":\"2.0\",\"id\":1,\"res", "garbage\n", "\xff\n",
                             "{}\n", "{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":null}\n",
                             "{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{\"domains\":7}}\n",
                             "{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{\"domains\":[{}]}}\n",
                             "{\"jsonrpc\":\"2.0\",\"id\":2,\"result\":{\"domains\":[]}}\n"}) {
    ScriptedServer server([answer](const Request& /*request*/) { return answer; });
    for (const auto& arguments : commands) {
      const Outcome outcome = run(server, arguments);
      EXPECT_EQ(outcome.status, 1) << answer;
      EXPECT_EQ(outcome.output, "") << answer;
      EXPECT_TRUE(outcome.errors.starts_with("wsoctl: ")) << answer;
    }
  }
}

TEST(Output, ThatCannotBeWrittenIsStatus1) {
  ScriptedServer server(always({{"script", "#!/bin/sh\n"}}));
  const std::string command =
      "exec \"$WSOCTL\" --socket '" + server.path() + "' netconfig web >/dev/full 2>/dev/null";
  const int status = std::system(command.c_str());  // NOLINT(cert-env33-c): the path is ours
  EXPECT_EQ(WEXITSTATUS(status), 1);
}

}  // namespace
}  // namespace wso::wsoctl
