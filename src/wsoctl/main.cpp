// wsoctl: understands the command line, connects to the daemon, runs one command, and turns what
// comes of it into the exit status.
#include <limits>
#include <memory>

#include <wso/base/error.hpp>
#include <wso/base/unix_socket.hpp>

#include "command_line.hpp"
#include "output.hpp"

namespace wso::wsoctl {
namespace {

constexpr int most_lines = 1'000'000'000;

int parse_lines(std::string_view text) { return parse_within(text, 0, most_lines); }

std::int64_t parse_number(std::string_view text) {
  return parse_within<std::int64_t>(text, 0, std::numeric_limits<std::int64_t>::max());
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
