// wsoctl: understands the command line, connects to the daemon, runs one command, and turns what
// comes of it into the exit status.
#include <charconv>
#include <functional>
#include <limits>
#include <memory>

#include <CLI/CLI.hpp>

#include <wso/base/error.hpp>
#include <wso/base/unix_socket.hpp>

#include "commands.hpp"
#include "output.hpp"
#include "size.hpp"

namespace wso::wsoctl {
namespace {

constexpr int longest_timeout_s = 24 * 60 * 60;

struct CommandLine {
  std::string socket_path = "/run/wso/wsod.sock";
  bool json = false;
  bool version = false;  // the one command that asks no daemon
  std::function<ExitStatus(Session&)> command;
};

int parse_count(std::string_view text, int max) {
  int number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc() || end != text.data() + text.size() || number < 1 || number > max)
    throw Error(Errc::invalid_argument, "a whole number from 1 to {} is expected", max);
  return number;
}

int parse_cpus(std::string_view text) { return parse_count(text, std::numeric_limits<int>::max()); }

std::uint64_t parse_kib(std::string_view text) {
  return static_cast<std::uint64_t>(parse_cpus(text));
}

std::chrono::seconds parse_timeout(std::string_view text) {
  return std::chrono::seconds(parse_count(text, longest_timeout_s));
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
  auto* wait = launch_app
                   ->add_flag("--wait{ssh}", options->wait_for,
                              "Wait until the guest answers: --wait=ping, or --wait=ssh (default)")
                   ->check(CLI::IsMember({"ping", "ssh"}))
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

void add_destroy(CLI::App& app, CommandLine& line) {
  auto* sub = app.add_subcommand("destroy", "Stop domains and remove all that belongs to them");
  const auto names = std::make_shared<std::vector<std::string>>();
  const auto keep_disk = std::make_shared<bool>(false);
  sub->add_option("NAME", *names, "Names of domains")->required();
  sub->add_flag("--keep-disk", *keep_disk, "Leave the disk where it is");
  sub->callback([&line, names, keep_disk] {
    line.command = [names, keep_disk](Session& session) {
      return destroy(session, *names, *keep_disk);
    };
  });
}

void add_commands(CLI::App& app, CommandLine& line) {
  add_launch(app, line);
  add_plain(app, line, "list", "List the domains", list_domains);
  add_on_domains(app, line, "status", "Show domains as QEMU sees them now", show_status);
  add_destroy(app, line);
  add_on_domains(app, line, "check", "Ping running domains and try their SSH port", check);
  add_on_one(app, line, "netconfig", "Print the network script of a domain's guest", "NAME",
             print_netconfig);
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

ExitStatus run(const CommandLine& line) {
  if (line.version) return print_version(line.json);
  std::optional<Client> client;
  try {
    client.emplace(line.socket_path);
  } catch (const Error& error) {
    print_failure(error.what());
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
