// The options of wsoctl launch.
#include <limits>

#include "command_line.hpp"
#include "size.hpp"

namespace wso::wsoctl {
namespace {

constexpr int longest_timeout_s = 24 * 60 * 60;

int parse_cpus(std::string_view text) { return parse_count(text, std::numeric_limits<int>::max()); }

std::uint64_t parse_kib(std::string_view text) {
  return static_cast<std::uint64_t>(parse_cpus(text));
}

std::chrono::seconds parse_timeout(std::string_view text) {
  return std::chrono::seconds(parse_count(text, longest_timeout_s));
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

}  // namespace

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
    if (options->wait_for == "healthy" && !options->health)
      throw CLI::RequiresError("--wait=healthy", "--health");
    line.command = [options](Session& session) { return launch(session, *options); };
  });
}

}  // namespace wso::wsoctl
