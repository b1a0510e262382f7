// The commands of wsoctl, called by main() once the command line is understood and, but for
// print_version(), a daemon is connected. Each prints its outcome.
#pragma once

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include <wso/client.hpp>
#include <wso/domain.hpp>

namespace wso::wsoctl {

enum ExitStatus { done = 0, failed = 1, wrong_usage = 2, no_daemon = 3 };

struct Session {
  std::filesystem::path socket_path;
  bool json = false;  // print the wire form
  Client client;
};

// What is absent is left to the daemon.
struct LaunchOptions {
  std::string domain_name;
  std::optional<int> n_cpus;
  std::optional<std::uint64_t> memory_kib;
  std::optional<std::uint64_t> disk_size_bytes;
  std::optional<std::filesystem::path> iso_path;
  bool paused = false;
  bool autostart = false;
  std::string restart;  // empty: no
  std::optional<int> restart_limit;
  std::optional<HealthCheck> health;
  std::string wait_for;  // "ping", "ssh", "healthy", or empty: do not wait
  std::optional<std::chrono::seconds> timeout;
};

// One verb on several domains.
struct VerbRequest {
  std::string verb;  // "start"
  std::string done;  // "started"
  std::vector<std::string> domain_names;
  Json params = Json::object();  // but for the name
};

ExitStatus run_verb(Session& session, const VerbRequest& request);

ExitStatus launch(Session& session, const LaunchOptions& options);
ExitStatus list_domains(Session& session);
ExitStatus show_status(Session& session, const std::vector<std::string>& domain_names);
// What these two print: the answers to domain.list and domain.status.
void print_domains(const Json& result, bool json);
void print_statuses(const Json& result, bool json);
ExitStatus check(Session& session, const std::vector<std::string>& domain_names);
ExitStatus print_netconfig(Session& session, const std::string& domain_name);

ExitStatus list_networks(Session& session);
ExitStatus show_network(Session& session, const std::string& network_name);

// Each goes on until it is interrupted, or the daemon ends.
ExitStatus print_events(Session& session, std::optional<std::int64_t> since);
ExitStatus attach_console(Session& session, const std::string& domain_name, bool read_only);

struct LogOptions {
  std::string domain_name;
  std::optional<int> tail;
  bool follow = false;
  bool qemu = false;
};

ExitStatus print_logs(Session& session, const LogOptions& options);

ExitStatus show_daemon(Session& session);
ExitStatus print_version(bool json);

}  // namespace wso::wsoctl
