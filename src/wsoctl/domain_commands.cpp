// wsoctl launch, list, status, check, netconfig.
#include <cstdio>

#include <unistd.h>

#include <wso/api/wire.hpp>
#include <wso/base/domain_json.hpp>

#include "commands.hpp"
#include "lists.hpp"
#include "output.hpp"
#include "size.hpp"
#include "table.hpp"

namespace wso::wsoctl {
namespace {

using std::chrono::milliseconds;

constexpr std::chrono::seconds default_wait{120};
constexpr milliseconds redraw_interval{250};

Json launch_params(const LaunchOptions& options) {
  Json params = {{"domain_name", options.domain_name}};
  if (options.n_cpus) params["n_cpus"] = *options.n_cpus;
  if (options.memory_kib) params["memory_kib"] = *options.memory_kib;
  if (options.disk_size_bytes) params["disk_size_bytes"] = *options.disk_size_bytes;
  if (options.iso_path) params["iso_path"] = options.iso_path->native();
  if (options.paused) params["paused"] = true;
  if (options.autostart) params["autostart"] = true;
  if (!options.restart.empty()) params["restart"] = options.restart;
  if (options.restart_limit) params["restart_limit"] = *options.restart_limit;
  if (options.health) params["health"] = to_json(*options.health);
  return params;
}

// One line on the terminal, rewritten in place and gone in the end; nothing if there is no
// terminal.
class ProgressLine {
 public:
  ProgressLine() = default;
  ProgressLine(const ProgressLine&) = delete;
  ProgressLine& operator=(const ProgressLine&) = delete;
  ~ProgressLine() { show(""); }

  void show(std::string_view text) const {
    if (terminal_) std::fprintf(stderr, "\r\033[K%.*s", static_cast<int>(text.size()), text.data());
  }

 private:
  bool terminal_ = ::isatty(STDERR_FILENO) == 1;
};

void wait_for_guest(Client& client, const LaunchOptions& options, const DomainState& state) {
  const auto start = std::chrono::steady_clock::now();
  const milliseconds timeout = options.timeout.value_or(default_wait);
  client.send("domain.wait", {{"domain_name", state.domain_name},
                              {"for", options.wait_for},
                              {"timeout_ms", timeout.count()}});
  const ProgressLine line;
  do {
    const std::chrono::duration<double> waited = std::chrono::steady_clock::now() - start;
    line.show(printable(fmt::format("waiting for {} on {} ... {:.1f} s", options.wait_for,
                                    state.ip_address, waited.count())));
  } while (!client.wait(redraw_interval));
}

std::string cpus_text(const DomainState& state) { return std::to_string(state.n_cpus); }
std::string memory_text(const DomainState& state) { return format_size(state.memory_kib * kib); }
std::string pid_text(const DomainState& state) {
  return state.pid == 0 ? std::string() : std::to_string(state.pid);
}

std::string status_text(const DomainStatus& status) {
  const DomainState& state = status.state;
  std::vector<Row> rows{{"NAME", state.domain_name},
                        {"STATE", std::string(name(state.state))},
                        {"ADDRESS", state.ip_address},
                        {"MAC", state.mac_address},
                        {"NETWORK", state.network_name},
                        {"BRIDGE", state.bridge_name},
                        {"CPUS", cpus_text(state)},
                        {"MEMORY", memory_text(state)},
                        {"DISK", state.disk_path},
                        {"ISO", state.iso_path},
                        {"HEALTH", std::string(name(state.healthcheck_state))},
                        {"PID", pid_text(state)},
                        {"RESTART", std::string(name(state.restart))},
                        {"AUTOSTART", state.autostart ? "yes" : "no"},
                        {"STARTED", format_time(state.started_at)}};
  if (!state.reason.empty()) rows.push_back({"REASON", state.reason});
  if (!status.problem.empty()) {
    rows.push_back({"PROBLEM", status.problem});
    return format_table(rows);
  }
  rows.push_back({"QEMU", status.qemu_status});
  rows.push_back({"VCPUS", std::to_string(status.n_vcpus)});
  for (const DriveCounters& drive : status.drives)
    rows.push_back({"DRIVE", fmt::format("{}: read {} in {} requests, wrote {} in {}", drive.drive,
                                         format_size(drive.read_bytes), drive.read_operations,
                                         format_size(drive.write_bytes), drive.write_operations)});
  const NetworkCounters& network = status.network;
  rows.push_back(
      {"TRAFFIC", fmt::format("received {} in {} packets, sent {} in {}",
                              format_size(network.received_bytes), network.received_packets,
                              format_size(network.sent_bytes), network.sent_packets)});
  return format_table(rows);
}

Json names_params(const std::vector<std::string>& domain_names) {
  return domain_names.empty() ? Json::object() : Json{{"names", domain_names}};
}

}  // namespace

ExitStatus launch(Session& session, const LaunchOptions& options) {
  const Json result = session.client.call("domain.launch", launch_params(options));
  const DomainState state = api::parse_domain_state(result);
  if (!options.wait_for.empty()) {
    try {
      wait_for_guest(session.client, options, state);
    } catch (const Error& error) {
      throw Error(error.code(), "{}; {} is left running", error.what(), state.domain_name);
    }
  }
  if (session.json)
    print_json(result);
  else
    print(format_table({{"NAME", state.domain_name},
                        {"ADDRESS", state.ip_address},
                        {"NETWORK", state.network_name},
                        {"STATE", std::string(name(state.state))}}));
  return done;
}

void print_domains(const Json& result, bool json) {
  const auto states = parse_list(result, "domains", api::parse_domain_state);
  if (json) {
    print_json(result);
    return;
  }
  std::vector<Row> rows{{"NAME", "STATE", "ADDRESS", "NETWORK", "CPUS", "MEMORY", "PID"}};
  for (const DomainState& state : states)
    rows.push_back({state.domain_name, std::string(name(state.state)), state.ip_address,
                    state.network_name, cpus_text(state), memory_text(state), pid_text(state)});
  print(format_table(rows));
}

ExitStatus list_domains(Session& session) {
  print_domains(session.client.call("domain.list"), session.json);
  return done;
}

void print_statuses(const Json& result, bool json) {
  const auto statuses = parse_list(result, "domains", api::parse_domain_status);
  if (json) {
    print_json(result);
    return;
  }
  std::string text;
  for (const DomainStatus& status : statuses)
    text += (text.empty() ? "" : "\n") + status_text(status);
  print(text);
}

ExitStatus show_status(Session& session, const std::vector<std::string>& domain_names) {
  print_statuses(session.client.call("domain.status", names_params(domain_names)), session.json);
  return done;
}

ExitStatus check(Session& session, const std::vector<std::string>& domain_names) {
  const Json result = session.client.call("domain.check", names_params(domain_names));
  const auto checks = parse_list(result, "checks", api::parse_domain_check);
  std::vector<Row> rows{{"NAME", "ADDRESS", "PING", "SSH"}};
  bool all = true;
  for (const DomainCheck& check : checks) {
    all &= check.ping && check.ssh;
    rows.push_back({check.domain_name, check.ip_address, check.ping ? "ok" : "fail",
                    check.ssh ? "ok" : "fail"});
  }
  if (session.json)
    print_json(result);
  else
    print(format_table(rows));
  return all ? done : failed;
}

ExitStatus print_netconfig(Session& session, const std::string& domain_name) {
  const Json result = session.client.call("domain.netconfig", {{"domain_name", domain_name}});
  const std::string script = text_field(result, "script");
  if (session.json)
    print_json(result);
  else
    print(script);  // byte for byte: it is there to be run
  return done;
}

}  // namespace wso::wsoctl
