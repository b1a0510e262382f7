// wsoctl: understands the command line, connects to the daemon, runs one command, and turns what
// comes of it into the exit status.
#include <charconv>
#include <cmath>
#include <functional>
#include <limits>
#include <memory>

#include <CLI/CLI.hpp>

#include <wso/base/error.hpp>
#include <wso/base/unix_socket.hpp>

#include "commands.hpp"
#include "offline.hpp"
#include "output.hpp"
#include "size.hpp"

namespace wso::wsoctl {
namespace {

constexpr int most_lines = 1'000'000'000;
constexpr int longest_timeout_s = 24 * 60 * 60;

struct CommandLine {
  std::string socket_path = "/run/wso/wsod.sock";
  std::string workdir = "/var/lib/wso";
  bool json = false;
  bool version = false;  // the one command that asks no daemon
  std::function<ExitStatus(Session&)> command;
  std::function<void(const Offline&)> without_daemon;  // what some commands do if none answers
};

template <typename T>
T parse_within(std::string_view text, T min, T max) {
  T number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc() || end != text.data() + text.size() || number < min || number > max)
    throw Error(Errc::invalid_argument, "a whole number from {} to {} is expected", min, max);
  return number;
}

int parse_count(std::string_view text, int max) { return parse_within(text, 1, max); }

int parse_lines(std::string_view text) { return parse_within(text, 0, most_lines); }

std::int64_t parse_number(std::string_view text) {
  return parse_within<std::int64_t>(text, 0, std::numeric_limits<std::int64_t>::max());
}

int parse_cpus(std::string_view text) { return parse_count(text, std::numeric_limits<int>::max()); }

std::uint64_t parse_kib(std::string_view text) {
  return static_cast<std::uint64_t>(parse_cpus(text));
}

std::chrono::seconds parse_timeout(std::string_view text) {
  return std::chrono::seconds(parse_count(text, longest_timeout_s));
}

// Seconds, to the millisecond: "0.5".
std::int64_t parse_milliseconds(std::string_view text) {
  double seconds = -1;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), seconds);
  if (error != std::errc() || end != text.data() + text.size() || !(seconds >= 0) ||
      seconds > longest_timeout_s)
    throw Error(Errc::invalid_argument, "{}: seconds from 0 to {} are expected", text,
                longest_timeout_s);
  return std::llround(seconds * 1000);
}

// "ping" or "tcp:PORT".
HealthCheck parse_health(std::string_view text) {
  HealthCheck health;
  constexpr std::string_view tcp = "tcp:";
  if (text == "ping") {
    health.probe = HealthProbe::ping;
  } else if (text.starts_with(tcp)) {
    health.probe = HealthProbe::tcp;
    constexpr int highest_port = 65535;
    health.port = parse_count(text.substr(tcp.size()), highest_port);
  } else {
    throw Error(Errc::invalid_argument, "ping or tcp:PORT is expected");
  }
  return health;
}

// The daemon has another working directory.
std::filesystem::path parse_path(std::string_view text) {
  std::error_code error;
  std::filesystem::path path = std::filesystem::absolute(text, error);
  if (error) throw Error(Errc::invalid_argument, "this is no path: {}", error.message());
  return path;
}

// An option whose text `parse` understands. `target` must outlive the parsing.
template <typename T>
CLI::Option* add_parsed(CLI::App& app, const std::string& name, std::optional<T>& target,
                        T (*parse)(std::string_view), const std::string& type,
                        const std::string& help) {
  const auto understand = [&target, parse, name](const std::string& text) {
    try {
      target = parse(text);
    } catch (const Error& error) {
      throw error.with_context(fmt::format("{} {}", name, text));
    }
  };
  return app.add_option_function<std::string>(name, understand, help)->type_name(type);
}

// The options of a health check; all but the first need it. `health` must outlive the parsing.
void add_health(CLI::App& app, std::optional<HealthCheck>& health) {
  auto* probe =
      add_parsed(app, "--health", health, parse_health, "PROBE", "Health check: ping, or tcp:PORT");
  const auto add = [&app, &health, probe](const std::string& name, const char* type,
                                          const char* help, auto set) {
    const auto understand = [&health, set, name](const std::string& text) {
      try {
        if (health) set(*health, text);
      } catch (const Error& error) {
        throw error.with_context(name);
      }
    };
    app.add_option_function<std::string>(name, understand, help)->type_name(type)->needs(probe);
  };
  constexpr int most_in_a_row = 1000;
  add("--health-delay", "SECONDS", "From the start to the first probe (0)",
      [](HealthCheck& check, const std::string& text) {
        check.initial_delay_ms = parse_milliseconds(text);
      });
  add("--health-interval", "SECONDS", "Between two probes (10)",
      [](HealthCheck& check, const std::string& text) {
        check.interval_ms = parse_milliseconds(text);
      });
  add("--health-timeout", "SECONDS", "For a probe to be answered (1)",
      [](HealthCheck& check, const std::string& text) {
        check.timeout_ms = parse_milliseconds(text);
      });
  add("--health-failures", "N", "So many in a row make it unhealthy (3)",
      [](HealthCheck& check, const std::string& text) {
        check.failures = parse_count(text, most_in_a_row);
      });
  add("--health-successes", "N", "So many in a row make it healthy (1)",
      [](HealthCheck& check, const std::string& text) {
        check.successes = parse_count(text, most_in_a_row);
      });
  add("--on-unhealthy", "ACTION", "none, restart, or recreate (with a new disk)",
      [](HealthCheck& check, const std::string& text) {
        const auto action = parse_unhealthy_action(text);
        if (!action) throw Error(Errc::invalid_argument, "none, restart or recreate is expected");
        check.on_unhealthy = *action;
      });
}

void add_launch(CLI::App& app, CommandLine& line) {
  auto* launch_app = app.add_subcommand("launch", "Start a new domain behind its own network");
  const auto options = std::make_shared<LaunchOptions>();
  launch_app->add_option("NAME", options->domain_name, "Name of the domain")->required();
  add_parsed(*launch_app, "--cpus", options->n_cpus, parse_cpus, "N", "Number of CPUs");
  auto* memory = add_parsed(*launch_app, "--memory", options->memory_kib, parse_memory_kib, "SIZE",
                            "Memory, such as 512M or 2G");
  add_parsed(*launch_app, "--memory-kib", options->memory_kib, parse_kib, "N", "Memory in KiB")
      ->excludes(memory);
  add_parsed(*launch_app, "--iso", options->iso_path, parse_path, "PATH", "ISO image to boot from");
  add_parsed(*launch_app, "--disk-size", options->disk_size_bytes, parse_size, "SIZE",
             "Size of the disk, such as 10G");
  auto* paused = launch_app->add_flag("--paused", options->paused, "Leave the CPUs stopped");
  launch_app->add_flag("--autostart", options->autostart, "Start it when the host is restarted");
  launch_app
      ->add_option("--restart", options->restart, "Start it again when it has ended by itself")
      ->check(CLI::IsMember({"no", "on-failure", "always"}));
  add_parsed(*launch_app, "--restart-limit", options->restart_limit, parse_cpus, "N",
             "So many restarts in a row at most (10 unless given)");
  add_health(*launch_app, options->health);
  auto* wait = launch_app
                   ->add_flag("--wait{ssh}", options->wait_for,
                              "Wait until the guest answers: --wait=ping, --wait=ssh (default), or "
                              "--wait=healthy")
                   ->check(CLI::IsMember({"ping", "ssh", "healthy"}))
                   ->excludes(paused);
  add_parsed(*launch_app, "--timeout", options->timeout, parse_timeout, "SECONDS",
             "Seconds to wait at most (120 unless given)")
      ->needs(wait);
  launch_app->callback([&line, options] {
    line.command = [options](Session& session) { return launch(session, *options); };
  });
}

// A command without arguments.
void add_plain(CLI::App& app, CommandLine& line, const char* name, const char* help,
               ExitStatus (*command)(Session&)) {
  app.add_subcommand(name, help)->callback([&line, command] { line.command = command; });
}

// A command on the named domains, or on all.
void add_on_domains(CLI::App& app, CommandLine& line, const char* name, const char* help,
                    ExitStatus (*command)(Session&, const std::vector<std::string>&)) {
  auto* sub = app.add_subcommand(name, help);
  const auto names = std::make_shared<std::vector<std::string>>();
  sub->add_option("NAME", *names, "Names of domains; all if none is given");
  sub->callback([&line, names, command] {
    line.command = [names, command](Session& session) { return command(session, *names); };
  });
}

// A command on one object.
void add_on_one(CLI::App& app, CommandLine& line, const char* name, const char* help,
                const char* argument, ExitStatus (*command)(Session&, const std::string&)) {
  auto* sub = app.add_subcommand(name, help);
  const auto object = std::make_shared<std::string>();
  sub->add_option(argument, *object)->required();
  sub->callback([&line, object, command] {
    line.command = [object, command](Session& session) { return command(session, *object); };
  });
}

void add_list(CLI::App& app, CommandLine& line) {
  app.add_subcommand("list", "List the domains")->callback([&line] {
    line.command = list_domains;
    line.without_daemon = list_recorded;
  });
}

void add_status(CLI::App& app, CommandLine& line) {
  auto* sub = app.add_subcommand("status", "Show domains as QEMU sees them now");
  const auto names = std::make_shared<std::vector<std::string>>();
  sub->add_option("NAME", *names, "Names of domains; all if none is given");
  sub->callback([&line, names] {
    line.command = [names](Session& session) { return show_status(session, *names); };
    line.without_daemon = [names](const Offline& offline) { show_recorded(offline, *names); };
  });
}

// A verb on the named domains; the caller adds its options, which write into `params`.
CLI::App* add_verb(CLI::App& app, CommandLine& line, const std::shared_ptr<VerbRequest>& request,
                   const char* help) {
  auto* sub = app.add_subcommand(request->verb, help);
  sub->add_option("NAME", request->domain_names, "Names of domains")->required();
  sub->callback([&line, request] {
    line.command = [request](Session& session) { return run_verb(session, *request); };
  });
  return sub;
}

std::shared_ptr<VerbRequest> verb(std::string word, std::string done) {
  auto request = std::make_shared<VerbRequest>();
  request->verb = std::move(word);
  request->done = std::move(done);
  return request;
}

void add_flag(CLI::App& sub, const std::shared_ptr<VerbRequest>& request, const std::string& name,
              const std::string& key, const char* help) {
  sub.add_flag_callback(
      name, [request, key] { request->params[key] = true; }, help);
}

void add_timeout(CLI::App& sub, const std::shared_ptr<VerbRequest>& request) {
  const auto understand = [request](const std::string& text) {
    request->params["timeout_ms"] = parse_milliseconds(text);
  };
  sub.add_option_function<std::string>("--timeout", understand,
                                       "Seconds that the guest has (60 unless given)")
      ->type_name("SECONDS");
}

void add_verbs(CLI::App& app, CommandLine& line) {
  const auto start = verb("start", "started");
  add_flag(*add_verb(app, line, start, "Start stopped domains"), start, "--paused", "paused",
           "Leave the CPUs stopped");
  const auto stop = verb("stop", "stopped");
  auto* stop_app = add_verb(app, line, stop, "Press the power button and wait for the power-off");
  add_flag(*stop_app, stop, "--force", "force", "End QEMU if the guest does not power off in time");
  add_timeout(*stop_app, stop);
  const auto reboot = verb("reboot", "rebooted");
  add_timeout(*add_verb(app, line, reboot, "Power off by the power button, and start anew"),
              reboot);
  add_verb(app, line, verb("reset", "reset"), "Press the reset button");
  add_verb(app, line, verb("pause", "paused"), "Stop the CPUs");
  add_verb(app, line, verb("resume", "resumed"), "Let the CPUs go on");
  const auto destroy = verb("destroy", "destroyed");
  add_flag(*add_verb(app, line, destroy, "Stop domains and remove all that belongs to them"),
           destroy, "--keep-disk", "keep_disk", "Leave the disk where it is");
}

void add_events(CLI::App& app, CommandLine& line) {
  auto* sub = app.add_subcommand("events", "Print events as they happen, one JSON object a line");
  const auto since = std::make_shared<std::optional<std::int64_t>>();
  add_parsed(
      *sub, "--since", *since, parse_number, "N",
      "Begin after the event with this number; 0: with the oldest that the daemon remembers");
  sub->callback([&line, since] {
    line.command = [since](Session& session) { return print_events(session, *since); };
  });
}

void add_console(CLI::App& app, CommandLine& line) {
  auto* sub = app.add_subcommand("console", "Use a guest's serial console; Ctrl-] leaves");
  const auto name = std::make_shared<std::string>();
  const auto read_only = std::make_shared<bool>(false);
  sub->add_option("NAME", *name, "Name of the domain")->required();
  sub->add_flag("--read-only", *read_only, "Only look, also while another client types");
  sub->callback([&line, name, read_only] {
    line.command = [name, read_only](Session& session) {
      return attach_console(session, *name, *read_only);
    };
  });
}

void add_logs(CLI::App& app, CommandLine& line) {
  auto* sub = app.add_subcommand("logs", "Print what a guest's console, or QEMU, has printed");
  const auto options = std::make_shared<LogOptions>();
  sub->add_option("NAME", options->domain_name, "Name of the domain")->required();
  add_parsed(*sub, "--tail", options->tail, parse_lines, "N", "Only the last N lines");
  sub->add_flag("-f,--follow", options->follow, "Go on with what is printed later");
  sub->add_flag("--qemu", options->qemu, "QEMU's own messages");
  sub->callback([&line, options] {
    line.command = [options](Session& session) { return print_logs(session, *options); };
  });
}

void add_commands(CLI::App& app, CommandLine& line) {
  add_launch(app, line);
  add_list(app, line);
  add_status(app, line);
  add_verbs(app, line);
  add_on_domains(app, line, "check", "Ping running domains and try their SSH port", check);
  add_on_one(app, line, "netconfig", "Print the network script of a domain's guest", "NAME",
             print_netconfig);
  add_console(app, line);
  add_logs(app, line);
  add_events(app, line);
  auto* network = app.add_subcommand("network", "List or show networks");
  network->require_subcommand(0, 1);
  add_plain(*network, line, "list", "List the networks", list_networks);
  add_on_one(*network, line, "show", "Show a network", "NETWORK", show_network);
  add_plain(app, line, "info", "Show the daemon", show_daemon);
  app.add_subcommand("version", "Print the version of wsoctl")->callback([&line] {
    line.version = true;
  });
}

// What CLI11 leaves unsaid: its own message for a missing command hides a misspelt one.
void expect_complete(const CommandLine& line) {
  if (!line.version && !line.command)
    throw Error(Errc::invalid_argument, "a command is missing; see wsoctl --help");
  if (line.socket_path.empty()) throw Error(Errc::invalid_argument, "--socket needs a path");
  if (line.workdir.empty()) throw Error(Errc::invalid_argument, "--workdir needs a path");
  check_socket_path(line.socket_path);
}

// Nothing if the command line is understood, else the exit status.
std::optional<ExitStatus> parse_command_line(int argc, char** argv, CommandLine& line) {
  CLI::App app("Launch and manage virtual machines, each behind its own NAT network", "wsoctl");
  app.fallthrough();  // global options may follow the command
  app.require_subcommand(0, 1);
  app.add_option("--socket", line.socket_path, "Socket of the daemon")
      ->type_name("PATH")
      ->envname("WSO_SOCKET")
      ->capture_default_str();
  app.add_option("--workdir", line.workdir,
                 "State of the daemon, from which list and status answer if it does not")
      ->type_name("DIR")
      ->envname("WSO_WORKDIR")
      ->capture_default_str();
  app.add_flag("--json", line.json, "Print JSON");
  add_commands(app, line);
  try {
    app.parse(argc, argv);
    expect_complete(line);
    return std::nullopt;
  } catch (const CLI::Success& help) {
    app.exit(help);
    return done;
  } catch (const CLI::ParseError& error) {
    print_failure(fmt::format("{}; see wsoctl --help", error.what()));
  } catch (const Error& error) {
    print_failure(error.what());
  }
  return wrong_usage;
}

// No daemon answers: this is what is known without one.
void answer_without_daemon(const CommandLine& line, const std::string& why) {
  try {
    line.without_daemon({line.workdir, why, line.json});
  } catch (const Error& error) {
    print_failure(error.what());
  }
}

ExitStatus run(const CommandLine& line) {
  if (line.version) return print_version(line.json);
  std::optional<Client> client;
  try {
    client.emplace(line.socket_path);
  } catch (const Error& error) {
    print_failure(error.what());
    if (error.code() == Errc::disconnected && line.without_daemon)
      answer_without_daemon(line, error.what());
    return no_daemon;
  }
  Session session{line.socket_path, line.json, *std::move(client)};
  return line.command(session);
}

}  // namespace
}  // namespace wso::wsoctl

int main(int argc, char** argv) {
  using namespace wso::wsoctl;  // NOLINT(google-build-using-namespace)
  try {
    CommandLine line;
    if (const auto status = parse_command_line(argc, argv, line)) return *status;
    return run(line);
  } catch (const std::exception& error) {
    print_failure(error.what());
    return failed;
  }
}
