// What a domain is to its users: what they ask for, and what they are told. Values only, shared by
// the server, the wire and the client.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace wso {

inline constexpr std::uint64_t kib = 1024;
inline constexpr std::uint64_t mib = 1024 * kib;
inline constexpr std::uint64_t gib = 1024 * mib;

// Whether a domain whose QEMU has ended by itself is started again.
enum class RestartPolicy {
  no,
  on_failure,  // after a panic, a crash or a kill, not after the guest has powered off
  always,      // after a power-off too; never after `stop`
};

std::string_view name(RestartPolicy policy);
std::optional<RestartPolicy> parse_restart_policy(std::string_view word);

enum class HealthProbe { none, ping, tcp };

std::string_view name(HealthProbe probe);
std::optional<HealthProbe> parse_health_probe(std::string_view word);

enum class UnhealthyAction {
  none,
  restart,   // stop it, by force if need be, and start it
  recreate,  // the same with a new, empty disk
};

std::string_view name(UnhealthyAction action);
std::optional<UnhealthyAction> parse_unhealthy_action(std::string_view word);

struct HealthCheck {
  HealthProbe probe = HealthProbe::none;
  int port = 0;                       // of `tcp`
  std::int64_t initial_delay_ms = 0;  // from the start to the first probe
  std::int64_t interval_ms = 10'000;  // from the end of one probe to the next
  std::int64_t timeout_ms = 1'000;    // of one probe
  int failures = 3;                   // so many in a row make it unhealthy
  int successes = 1;                  // so many in a row make it healthy
  UnhealthyAction on_unhealthy = UnhealthyAction::none;

  bool operator==(const HealthCheck&) const = default;
};

struct DomainSpec {
  std::string domain_name;  // [A-Za-z0-9][A-Za-z0-9_.-]{0,62}
  int n_cpus = 1;
  std::uint64_t memory_kib = 512 * 1024;
  std::string iso_path;                      // empty: no CD-ROM
  std::uint64_t disk_size_bytes = 10 * gib;  // virtual size
  bool paused = false;                       // leave the vCPUs stopped after the launch
  bool autostart = false;                    // start it when the host has been restarted
  RestartPolicy restart = RestartPolicy::no;
  int restart_limit = 10;  // so many restarts in a row, each sooner than a minute after the last
  HealthCheck health;

  bool operator==(const DomainSpec&) const = default;
};

// See wso/domain/transitions.hpp for what leads from one to another.
enum class RunState {
  launching,     // the launch is under way
  starting,      // a start is under way
  running,       // the vCPUs run
  paused,        // QEMU is there, the vCPUs are stopped
  unresponsive,  // QEMU is there and does not answer; only shown, never recorded
  stopping,      // a stop is under way
  stopped,       // no QEMU; address, disk and record are kept
  destroying,    // the destruction is under way
};

std::string_view name(RunState state);
std::optional<RunState> parse_run_state(std::string_view word);

enum class HealthState { none, initializing, healthy, unhealthy };

std::string_view name(HealthState state);
std::optional<HealthState> parse_health_state(std::string_view word);

struct DomainState {
  std::string domain_name;
  std::string domain_id;
  std::string network_name;
  std::string bridge_name;
  std::string ip_address;
  std::string mac_address;
  RunState state = RunState::launching;
  std::string reason;  // why it is in this state; may be empty
  HealthState healthcheck_state = HealthState::none;
  int n_failed_healthchecks = 0;  // in a row
  bool autostart = false;
  RestartPolicy restart = RestartPolicy::no;
  int n_restarts = 0;  // in a row, by the restart policy or for its health
  int pid = 0;         // 0: no QEMU
  int n_cpus = 0;
  std::uint64_t memory_kib = 0;
  std::string disk_path;
  std::string iso_path;
  std::int64_t started_at = 0;  // seconds since the epoch; 0: not started

  bool operator==(const DomainState&) const = default;
};

// What a verb has done to a domain.
struct VerbResult {
  DomainState state;
  bool changed = true;  // false: there was nothing to do
  bool operator==(const VerbResult&) const = default;
};

// Counters of one drive as the guest has used it.
struct DriveCounters {
  std::string drive;
  std::uint64_t read_bytes = 0;
  std::uint64_t write_bytes = 0;
  std::uint64_t read_operations = 0;
  std::uint64_t write_operations = 0;
  bool operator==(const DriveCounters&) const = default;
};

// Counters of the guest's network card, seen from the guest.
struct NetworkCounters {
  std::uint64_t received_bytes = 0;
  std::uint64_t received_packets = 0;
  std::uint64_t sent_bytes = 0;
  std::uint64_t sent_packets = 0;
  bool operator==(const NetworkCounters&) const = default;
};

// A domain's state with what QEMU and the kernel say of it at this moment.
struct DomainStatus {
  DomainState state;
  std::string qemu_status;  // QEMU's own word (RunState in its QAPI schema); empty: no answer
  std::string problem;      // why there is no live part; empty if there is
  int n_vcpus = 0;          // as QEMU counts them
  std::vector<DriveCounters> drives;
  NetworkCounters network;
  bool operator==(const DomainStatus&) const = default;
};

// What a probe of a domain's address found.
struct DomainCheck {
  std::string domain_name;
  std::string ip_address;
  bool ping = false;
  bool ssh = false;
  bool operator==(const DomainCheck&) const = default;
};

struct NetworkState {
  std::string network_name;
  std::string domain_name;
  std::string bridge_name;
  std::string tap_name;
  std::string subnet;
  std::string gateway;
  std::string ip_address;
  std::string mac_address;
  bool up = false;
  bool operator==(const NetworkState&) const = default;
};

}  // namespace wso
