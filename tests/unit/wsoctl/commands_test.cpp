// The real wsoctl against a scripted daemon: what each command sends and prints.
#include <algorithm>
#include <condition_variable>
#include <filesystem>
#include <future>
#include <limits>
#include <mutex>

#include <gtest/gtest.h>
#include <poll.h>
#include <pty.h>
#include <unistd.h>

#include <wso/api/wire.hpp>
#include <wso/base/domain_json.hpp>

#include "command_fixture.hpp"

namespace wso::wsoctl {
namespace {

using namespace wso::test;             // NOLINT(google-build-using-namespace)
using namespace std::chrono_literals;  // NOLINT(google-build-using-namespace)
using api::Request;

// Launches at once; what `wait` returns answers domain.wait.
ScriptedServer::Script launching(ScriptedServer::Script wait) {
  return [wait = std::move(wait)](const Request& request) {
    if (request.method == "domain.wait") return wait(request);
    return api::format_result(request.id, api::to_json(domain("web")));
  };
}

TEST(Launch, SendsOnlyWhatWasAsked) {
  ScriptedServer server(always(api::to_json(domain("web"))));
  EXPECT_EQ(run(server, {"launch", "web"}).status, 0);
  ASSERT_EQ(server.requests().size(), 1U);
  EXPECT_EQ(server.requests()[0].method, "domain.launch");
  EXPECT_EQ(server.requests()[0].params, (Json{{"domain_name", "web"}}));
}

TEST(Launch, SendsEveryOption) {
  ScriptedServer server(always(api::to_json(domain("web"))));
  EXPECT_EQ(run(server, {"launch", "web", "--cpus", "2", "--memory", "1G", "--disk-size", "20G",
                         "--iso", "demo.iso", "--paused"})
                .status,
            0);
  const Json params = {{"domain_name", "web"},
                       {"n_cpus", 2},
                       {"memory_kib", 1024 * 1024},
                       {"disk_size_bytes", std::int64_t{20} << 30},
                       {"iso_path", std::filesystem::current_path() / "demo.iso"},
                       {"paused", true}};
  ASSERT_EQ(server.requests().size(), 1U);
  EXPECT_EQ(server.requests()[0].params, params);
}

TEST(Launch, PrintsASummaryOrTheWireForm) {
  ScriptedServer server(always(api::to_json(domain("web"))));
  EXPECT_EQ(run(server, {"launch", "web"}).output,
            "NAME     web\n"
            "ADDRESS  192.168.100.229\n"
            "NETWORK  wso-net-web\n"
            "STATE    running\n");
  EXPECT_EQ(run(server, {"launch", "web", "--json"}).output,
            dump_json(api::to_json(domain("web"))) + '\n');
}

TEST(LaunchWait, AsksForSshUnlessToldOtherwise) {
  ScriptedServer server(launching(always({{"waited_ms", 12}})));
  EXPECT_EQ(run(server, {"launch", "web", "--wait"}).status, 0);
  EXPECT_EQ(run(server, {"launch", "--wait=ping", "--timeout", "7", "web"}).status, 0);
  const auto requests = server.requests();
  ASSERT_EQ(requests.size(), 4U);
  EXPECT_EQ(requests[1].params,
            (Json{{"domain_name", "web"}, {"for", "ssh"}, {"timeout_ms", 120000}}));
  EXPECT_EQ(requests[3].params,
            (Json{{"domain_name", "web"}, {"for", "ping"}, {"timeout_ms", 7000}}));
}

TEST(LaunchWait, ShowsNoProgressWithoutATerminal) {
  ScriptedServer server(launching(always({{"waited_ms", 12}})));
  const Outcome outcome = run(server, {"--json", "launch", "web", "--wait"});
  EXPECT_EQ(outcome.errors, "");
  EXPECT_EQ(outcome.output, dump_json(api::to_json(domain("web"))) + '\n');
}

// What comes from the terminal until that many lines have begun, or its other side is closed.
std::string read_terminal(int terminal, int n_lines) {
  std::string text;
  char buffer[256];
  pollfd entry{terminal, POLLIN, 0};
  while (n_lines > 0 && ::poll(&entry, 1, 30'000) == 1) {
    const ssize_t n = ::read(terminal, buffer, sizeof buffer);
    if (n <= 0) break;
    const std::string_view part(buffer, static_cast<std::size_t>(n));
    text += part;
    n_lines -= static_cast<int>(std::count(part.begin(), part.end(), '\r'));
  }
  return text;
}

TEST(LaunchWait, ShowsOneLineOnATerminalAndRemovesIt) {
  std::promise<void> seen;
  ScriptedServer server(launching([&seen](const Request& request) {
    seen.get_future().wait_for(30s);
    return api::format_result(request.id, {{"waited_ms", 500}});
  }));
  int terminal = -1;
  int side = -1;
  ASSERT_EQ(::openpty(&terminal, &side, nullptr, nullptr, nullptr), 0);
  const UniqueFd terminal_owner(terminal);
  UniqueFd side_owner(side);
  Program program({"--socket", server.path(), "launch", "web", "--wait"}, side);
  side_owner.reset();
  std::string shown = read_terminal(terminal, 3);
  seen.set_value();
  EXPECT_EQ(program.wait(), 0);
  shown += read_terminal(terminal, std::numeric_limits<int>::max());
  EXPECT_TRUE(holds(shown, "\r\033[Kwaiting for ssh on 192.168.100.229 ... 0.0 s\r\033[K"))
      << shown;
  EXPECT_TRUE(shown.ends_with("\r\033[K")) << shown;
  EXPECT_FALSE(holds(shown, "\n")) << shown;
}

TEST(LaunchWait, ThatFailsLeavesTheDomainAndSaysSo) {
  ScriptedServer refusing(launching(never(Errc::timeout, "ssh on web: no answer within 7 s")));
  const Outcome refused = run(refusing, {"--json", "launch", "web", "--wait"});
  EXPECT_EQ(refused.status, 1);
  EXPECT_EQ(refused.output, "");
  EXPECT_EQ(refused.errors, "wsoctl: ssh on web: no answer within 7 s; web is left running\n");
  EXPECT_EQ(refusing.requests().size(), 2U);
  ScriptedServer leaving(launching([](const Request& /*request*/) { return ""; }));
  const Outcome left = run(leaving, {"launch", "web", "--wait"});
  EXPECT_EQ(left.status, 1);
  EXPECT_TRUE(holds(left.errors, "web is left running")) << left.errors;
}

TEST(List, PrintsATable) {
  ScriptedServer server(
      always({{"domains", {api::to_json(domain("web")), api::to_json(domain("x\033[2J"))}}}));
  EXPECT_EQ(run(server, {"list"}).output,
            "NAME   STATE    ADDRESS          NETWORK      CPUS  MEMORY   PID\n"
            "web    running  192.168.100.229  wso-net-web  2     512 MiB  4711\n"
            "x?[2J  running  192.168.100.229  wso-net-web  2     512 MiB  4711\n");
}

TEST(List, OfNothingIsItsHeader) {
  ScriptedServer server(always({{"domains", Json::array()}}));
  EXPECT_EQ(run(server, {"list"}).output, "NAME  STATE  ADDRESS  NETWORK  CPUS  MEMORY  PID\n");
  EXPECT_EQ(run(server, {"list", "--json"}).output, "{\"domains\":[]}\n");
}

TEST(List, PassesOnFieldsOfALaterVersion) {
  Json state = api::to_json(domain("web"));
  state["later"] = "é\n";
  const Json result = {{"domains", {state}}};
  ScriptedServer server(always(result));
  EXPECT_EQ(run(server, {"list", "--json"}).output, dump_json(result) + '\n');
}

TEST(Status, ShowsCountersOrTheProblem) {
  const DomainStatus live{domain("web"), "running", "", 2, {{"disk", 2048, 1536, 3, 4}},
                          {5, 6, 7, 8}};
  const DomainStatus dead{domain("db"), "", "QEMU does not answer", 0, {}, {}};
  ScriptedServer server(always({{"domains", {api::to_json(live), api::to_json(dead)}}}));
  const Outcome outcome = run(server, {"status"});
  EXPECT_EQ(server.requests()[0].params, Json::object());
  EXPECT_TRUE(
      holds(outcome.output, "DRIVE      disk: read 2 KiB in 3 requests, wrote 1.5 KiB in 4\n"));
  EXPECT_TRUE(holds(outcome.output, "TRAFFIC    received 5 B in 6 packets, sent 7 B in 8\n\nNAME"));
  EXPECT_TRUE(holds(outcome.output, "PROBLEM    QEMU does not answer\n")) << outcome.output;
}

TEST(Status, AsksForTheNamed) {
  ScriptedServer server(always({{"domains", Json::array()}}));
  EXPECT_EQ(run(server, {"status", "web", "list"}).status, 0);
  EXPECT_EQ(server.requests()[0].params, (Json{{"names", {"web", "list"}}}));
}

TEST(Check, FailsIfOneDoes) {
  const auto check = [](bool ssh) {
    ScriptedServer server(always({{"checks",
                                   {api::to_json(DomainCheck{"web", "10.0.0.2", true, true}),
                                    api::to_json(DomainCheck{"db", "10.0.0.3", true, ssh})}}}));
    EXPECT_EQ(run(server, {"--json", "check"}).status, ssh ? 0 : 1);
    return run(server, {"check"});
  };
  EXPECT_EQ(check(true).status, 0);
  const Outcome outcome = check(false);
  EXPECT_EQ(outcome.status, 1);
  EXPECT_EQ(outcome.output,
            "NAME  ADDRESS   PING  SSH\nweb   10.0.0.2  ok    ok\ndb    10.0.0.3  ok    fail\n");
}

TEST(Check, OfNothingIsDone) {
  ScriptedServer server(always({{"checks", Json::array()}}));
  const Outcome outcome = run(server, {"check"});
  EXPECT_EQ(outcome.status, 0);
  EXPECT_EQ(outcome.output, "NAME  ADDRESS  PING  SSH\n");
}

TEST(Verbs, SendTheirOptionsAndSayWhatWasDone) {
  const auto expect_sent = [](const std::vector<std::string>& arguments, const Json& params,
                              const std::string& output) {
    Json result = api::to_json(VerbResult{domain("web"), true});
    ScriptedServer server(always(result));
    EXPECT_EQ(run(server, arguments).output, output);
    EXPECT_EQ(server.requests()[0].method, "domain." + arguments[0]);
    EXPECT_EQ(server.requests()[0].params, params);
  };
  const Json web = {{"domain_name", "web"}};
  const auto with = [&web](Json more) {
    more.update(web);
    return more;
  };
  expect_sent({"start", "web"}, web, "started web\n");
  expect_sent({"start", "--paused", "web"}, with({{"paused", true}}), "started web\n");
  expect_sent({"stop", "web"}, web, "stopped web\n");
  expect_sent({"stop", "web", "--force", "--timeout", "0.5"},
              with({{"force", true}, {"timeout_ms", 500}}), "stopped web\n");
  expect_sent({"reboot", "web", "--timeout=5"}, with({{"timeout_ms", 5000}}), "rebooted web\n");
  expect_sent({"reset", "web"}, web, "reset web\n");
  expect_sent({"pause", "web"}, web, "paused web\n");
  expect_sent({"resume", "web"}, web, "resumed web\n");
}

TEST(Verbs, SayThatThereWasNothingToDo) {
  ScriptedServer server(always(api::to_json(VerbResult{domain("web"), false})));
  const Outcome outcome = run(server, {"resume", "web"});
  EXPECT_EQ(outcome.output, "web is running already\n");
  EXPECT_EQ(outcome.status, 0);
  DomainState hung = domain("web");
  hung.state = RunState::unresponsive;
  ScriptedServer hung_server(always(api::to_json(VerbResult{hung, false})));
  EXPECT_EQ(run(hung_server, {"resume", "web"}).output,
            "nothing to do for web, whose QEMU does not answer\n");
}

TEST(Verbs, RefuseTimesThatAreNone) {
  ScriptedServer server(always(Json()));
  for (const char* time : {"-1", "x", "1s", "", "nan", "inf", "1e9", "86401"}) {
    const Outcome outcome = run(server, {"stop", "web", "--timeout", time});
    EXPECT_EQ(outcome.status, 2) << time;
    EXPECT_EQ(outcome.output, "");
  }
  EXPECT_TRUE(server.requests().empty());
}

TEST(Launch, SendsWhatBecomesOfTheDomainLater) {
  ScriptedServer server(always(api::to_json(domain("web"))));
  run(server, {"launch", "web", "--autostart", "--restart=on-failure", "--restart-limit", "3",
               "--on-unhealthy", "recreate", "--health-delay=0.25", "--health", "tcp:80",
               "--health-interval", "2", "--health-timeout=0.1", "--health-failures=4",
               "--health-successes=2"});
  const HealthCheck health{HealthProbe::tcp, 80, 250, 2000, 100, 4, 2, UnhealthyAction::recreate};
  EXPECT_EQ(server.requests()[0].params, (Json{{"domain_name", "web"},
                                               {"autostart", true},
                                               {"restart", "on-failure"},
                                               {"restart_limit", 3},
                                               {"health", to_json(health)}}));
}

TEST(Launch, RefusesHalfAHealthCheck) {
  ScriptedServer server(always(Json()));
  const std::vector<std::vector<std::string>> wrong = {
      {"--health", "tcp"},        {"--health", "tcp:0"},    {"--health", "tcp:65536"},
      {"--health", "http"},       {"--health-delay", "1"},  {"--on-unhealthy", "restart"},
      {"--restart", "sometimes"}, {"--restart-limit", "-1"}};
  for (std::vector<std::string> arguments : wrong) {
    arguments.insert(arguments.begin(), {"launch", "web"});
    EXPECT_EQ(run(server, arguments).status, 2) << arguments[2] << " " << arguments[3];
  }
  EXPECT_EQ(run(server, {"launch", "web", "--health=ping", "--on-unhealthy=explode"}).status, 2);
  const Outcome unhealthy = run(server, {"launch", "web", "--wait=healthy"});
  EXPECT_EQ(unhealthy.status, 2);
  EXPECT_EQ(unhealthy.errors, "wsoctl: --wait=healthy requires --health; see wsoctl --help\n");
  EXPECT_TRUE(server.requests().empty());
}

TEST(Destroy, SendsTheNameAndWhatToKeep) {
  ScriptedServer server(always(api::to_json(domain("web"))));
  EXPECT_EQ(run(server, {"destroy", "web"}).output, "destroyed web\n");
  EXPECT_EQ(run(server, {"destroy", "web", "--keep-disk"}).output,
            "destroyed web; its disk is kept: /tmp/wso-web-disk.qcow2\n");
  EXPECT_EQ(server.requests()[0].params, (Json{{"domain_name", "web"}}));
  EXPECT_EQ(server.requests()[1].params, (Json{{"domain_name", "web"}, {"keep_disk", true}}));
}

TEST(Destroy, OfSeveralRunsAtOnce) {
  std::mutex mutex;
  std::condition_variable all_there;
  int n_asked = 0;
  ScriptedServer server([&mutex, &all_there, &n_asked](const Request& request) {
    std::unique_lock lock(mutex);
    ++n_asked;
    all_there.notify_all();
    const bool together = all_there.wait_for(lock, 30s, [&n_asked] { return n_asked == 3; });
    EXPECT_TRUE(together);
    return api::format_result(request.id,
                              api::to_json(domain(text_field(request.params, "domain_name"))));
  });
  EXPECT_EQ(run(server, {"destroy", "a", "b", "c"}).output,
            "destroyed a\ndestroyed b\ndestroyed c\n");
}

TEST(Destroy, GoesOnAfterAFailure) {
  ScriptedServer server([](const Request& request) -> std::string {
    const std::string name = text_field(request.params, "domain_name");
    if (name == "gone") return "";
    if (name == "none")
      return api::format_error(request.id, Error(Errc::not_found, "there is no domain 'none'"));
    return api::format_result(request.id, api::to_json(domain(name)));
  });
  const Outcome outcome = run(server, {"--json", "destroy", "none", "a", "gone", "b"});
  EXPECT_EQ(outcome.status, 1);
  EXPECT_TRUE(holds(outcome.errors, "wsoctl: there is no domain 'none'\n")) << outcome.errors;
  EXPECT_TRUE(holds(outcome.errors, "without an answer")) << outcome.errors;
  const Json result = Json::parse(outcome.output);
  ASSERT_EQ(result["domains"].size(), 2U);
  EXPECT_EQ(result["domains"][0]["domain_name"], "a");
  EXPECT_EQ(result["domains"][1]["domain_name"], "b");
}

TEST(Destroy, OfManyTakesThemInTurns) {
  ScriptedServer server(always(api::to_json(domain("web"))));
  std::vector<std::string> arguments{"destroy"};
  for (int i = 0; i < 100; ++i) arguments.push_back(fmt::format("web{}", i));
  EXPECT_EQ(run(server, arguments).status, 0);
  EXPECT_EQ(server.requests().size(), 100U);
}

TEST(Destroy, OfOneThatIsNamedTwiceAsksOnce) {
  ScriptedServer server(always(api::to_json(domain("web"))));
  EXPECT_EQ(run(server, {"destroy", "web", "web"}).output, "destroyed web\n");
  EXPECT_EQ(server.requests().size(), 1U);
}

TEST(Netconfig, PrintsTheScriptByteForByte) {
  const std::string script = "#!/bin/sh\nprintf '\\t%s\t' é\n";
  ScriptedServer server(always({{"script", script}}));
  EXPECT_EQ(run(server, {"netconfig", "web"}).output, script);
  EXPECT_EQ(Json::parse(run(server, {"netconfig", "web", "--json"}).output)["script"], script);
}

TEST(Network, IsListedAndShown) {
  const NetworkState network{
      "wso-net-web",   "web",           "virbrweb",          "vnetweb", "192.168.100.0/24",
      "192.168.100.1", "192.168.100.9", "52:54:00:01:02:03", true};
  ScriptedServer listing(always({{"networks", {api::to_json(network)}}}));
  EXPECT_EQ(run(listing, {"network", "list"}).output,
            "NETWORK      DOMAIN  BRIDGE    TAP      ADDRESS        STATE\n"
            "wso-net-web  web     virbrweb  vnetweb  192.168.100.9  up\n");
  ScriptedServer showing(always(api::to_json(network)));
  const Outcome shown = run(showing, {"network", "show", "wso-net-web"});
  EXPECT_EQ(showing.requests()[0].params, (Json{{"network_name", "wso-net-web"}}));
  EXPECT_TRUE(holds(shown.output, "GATEWAY  192.168.100.1\n")) << shown.output;
  EXPECT_EQ(run(showing, {"--json", "network", "show", "wso-net-web"}).output,
            dump_json(api::to_json(network)) + '\n');
}

TEST(Info, ShowsWhatTheDaemonSays) {
  ScriptedServer server(always({{"version", "0.1.0"}, {"pid", 17}, {"accel", "tcg\033[31m"}}));
  const Outcome outcome = run(server, {"info"});
  EXPECT_EQ(outcome.status, 0);
  EXPECT_TRUE(holds(outcome.output, "PID          17\n")) << outcome.output;
  EXPECT_TRUE(holds(outcome.output, "ACCEL        tcg?[31m\n")) << outcome.output;
  EXPECT_EQ(run(server, {"info", "--json"}).output,
            "{\"accel\":\"tcg\\u001b[31m\",\"pid\":17,\"version\":\"0.1.0\"}\n");
}

}  // namespace
}  // namespace wso::wsoctl
