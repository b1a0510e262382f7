// Translates the value types of <wso/domain.hpp> to and from the JSON of the control socket. Checks
// types and ranges only: what makes a domain acceptable is decided where it is planned.
#include <wso/api/wire.hpp>
#include <wso/base/domain_json.hpp>
#include <wso/base/error.hpp>

namespace wso::api {
namespace {

constexpr std::int64_t int_max = std::numeric_limits<int>::max();
// Sizes in KiB are multiplied by 1024 wherever they are used.
constexpr std::int64_t kib_max = std::numeric_limits<std::int64_t>::max() / 1024;

int int_field(const Json& json, std::string_view key) {
  return static_cast<int>(integer_field(json, key, 0, int_max));
}

std::uint64_t counter_field(const Json& json, std::string_view key) {
  return static_cast<std::uint64_t>(integer_field(json, key));
}

bool bool_field(const Json& json, std::string_view key) {
  if (find_field(json, key) == nullptr) throw Error(Errc::protocol, "'{}' is missing", key);
  return optional_bool(json, key, false);
}

const Json& object_field(const Json& json, std::string_view key) {
  const Json* value = find_field(json, key);
  if (value == nullptr || !value->is_object())
    throw Error(Errc::protocol, "'{}' must be an object", key);
  return *value;
}

// The kernel would read such a path only up to the NUL, and open another file than was named.
std::string optional_path(const Json& json, std::string_view key) {
  std::string path = optional_text(json, key).value_or("");
  if (path.find('\0') != std::string::npos)
    throw Error(Errc::protocol, "'{}' must not hold a NUL character", key);
  return path;
}

Json to_json(const DriveCounters& drive) {
  return {{"drive", drive.drive},
          {"read_bytes", drive.read_bytes},
          {"write_bytes", drive.write_bytes},
          {"read_operations", drive.read_operations},
          {"write_operations", drive.write_operations}};
}

DriveCounters parse_drive(const Json& json) {
  DriveCounters drive;
  drive.drive = text_field(json, "drive");
  drive.read_bytes = counter_field(json, "read_bytes");
  drive.write_bytes = counter_field(json, "write_bytes");
  drive.read_operations = counter_field(json, "read_operations");
  drive.write_operations = counter_field(json, "write_operations");
  return drive;
}

Json to_json(const NetworkCounters& network) {
  return {{"received_bytes", network.received_bytes},
          {"received_packets", network.received_packets},
          {"sent_bytes", network.sent_bytes},
          {"sent_packets", network.sent_packets}};
}

NetworkCounters parse_network_counters(const Json& json) {
  NetworkCounters network;
  network.received_bytes = counter_field(json, "received_bytes");
  network.received_packets = counter_field(json, "received_packets");
  network.sent_bytes = counter_field(json, "sent_bytes");
  network.sent_packets = counter_field(json, "sent_packets");
  return network;
}

void parse_live(const Json& live, DomainStatus& status) {
  status.qemu_status = text_field(live, "qemu_status");
  status.n_vcpus = int_field(live, "n_vcpus");
  const Json* drives = find_field(live, "drives");
  if (drives == nullptr || !drives->is_array())
    throw Error(Errc::protocol, "'drives' must be a list");
  for (const Json& drive : *drives) status.drives.push_back(parse_drive(drive));
  status.network = parse_network_counters(object_field(live, "network"));
}

}  // namespace

Json to_json(const DomainSpec& spec) {
  return {{"domain_name", spec.domain_name},
          {"n_cpus", spec.n_cpus},
          {"memory_kib", spec.memory_kib},
          {"iso_path", spec.iso_path},
          {"paused", spec.paused},
          {"disk_size_bytes", spec.disk_size_bytes},
          {"autostart", spec.autostart},
          {"restart", name(spec.restart)},
          {"health", wso::to_json(spec.health)},
          {"restart_limit", spec.restart_limit}};
}

DomainSpec parse_domain_spec(const Json& json) {
  expect_object(json, {"domain_name", "n_cpus", "memory_kib", "iso_path", "disk_size_bytes",
                       "paused", "autostart", "restart", "restart_limit", "health"});
  DomainSpec spec;
  spec.domain_name = text_field(json, "domain_name");
  if (const auto n_cpus = optional_integer(json, "n_cpus", 0, int_max))
    spec.n_cpus = static_cast<int>(*n_cpus);
  if (const auto memory = optional_integer(json, "memory_kib", 0, kib_max))
    spec.memory_kib = static_cast<std::uint64_t>(*memory);
  if (const auto size = optional_integer(json, "disk_size_bytes"))
    spec.disk_size_bytes = static_cast<std::uint64_t>(*size);
  spec.iso_path = optional_path(json, "iso_path");
  spec.paused = optional_bool(json, "paused", false);
  spec.autostart = optional_bool(json, "autostart", false);
  spec.restart = optional_word(json, "restart", parse_restart_policy).value_or(spec.restart);
  if (const auto limit = optional_integer(json, "restart_limit", 0, int_max))
    spec.restart_limit = static_cast<int>(*limit);
  spec.health = health_field(json);
  return spec;
}

Json to_json(const DomainState& state) {
  return {{"domain_name", state.domain_name},
          {"domain_id", state.domain_id},
          {"network_name", state.network_name},
          {"bridge_name", state.bridge_name},
          {"ip_address", state.ip_address},
          {"mac_address", state.mac_address},
          {"state", name(state.state)},
          {"reason", state.reason},
          {"healthcheck_state", name(state.healthcheck_state)},
          {"n_failed_healthchecks", state.n_failed_healthchecks},
          {"autostart", state.autostart},
          {"restart", name(state.restart)},
          {"n_restarts", state.n_restarts},
          {"pid", state.pid},
          {"n_cpus", state.n_cpus},
          {"memory_kib", state.memory_kib},
          {"disk_path", state.disk_path},
          {"iso_path", state.iso_path},
          {"started_at", state.started_at}};
}

DomainState parse_domain_state(const Json& json) {
  DomainState state;
  state.domain_name = text_field(json, "domain_name");
  state.domain_id = text_field(json, "domain_id");
  state.network_name = text_field(json, "network_name");
  state.bridge_name = text_field(json, "bridge_name");
  state.ip_address = text_field(json, "ip_address");
  state.mac_address = text_field(json, "mac_address");
  state.state = word_field(json, "state", parse_run_state);
  state.reason = text_field(json, "reason");
  state.healthcheck_state = word_field(json, "healthcheck_state", parse_health_state);
  state.n_failed_healthchecks = int_field(json, "n_failed_healthchecks");
  state.autostart = bool_field(json, "autostart");
  state.restart = word_field(json, "restart", parse_restart_policy);
  state.n_restarts = int_field(json, "n_restarts");
  state.pid = int_field(json, "pid");
  state.n_cpus = int_field(json, "n_cpus");
  state.memory_kib = static_cast<std::uint64_t>(integer_field(json, "memory_kib", 0, kib_max));
  state.disk_path = text_field(json, "disk_path");
  state.iso_path = text_field(json, "iso_path");
  state.started_at = integer_field(json, "started_at");
  return state;
}

Json to_json(const VerbResult& result) {
  Json json = to_json(result.state);
  json["changed"] = result.changed;
  return json;
}

VerbResult parse_verb_result(const Json& json) {
  return {parse_domain_state(json), bool_field(json, "changed")};
}

Json to_json(const DomainStatus& status) {
  Json json = to_json(status.state);
  if (!status.problem.empty()) {
    json["problem"] = status.problem;
    return json;
  }
  Json drives = Json::array();
  for (const DriveCounters& drive : status.drives) drives.push_back(to_json(drive));
  json["live"] = {{"qemu_status", status.qemu_status},
                  {"n_vcpus", status.n_vcpus},
                  {"drives", std::move(drives)},
                  {"network", to_json(status.network)}};
  return json;
}

DomainStatus parse_domain_status(const Json& json) {
  DomainStatus status;
  status.state = parse_domain_state(json);
  status.problem = optional_text(json, "problem").value_or("");
  const bool live = find_field(json, "live") != nullptr;
  if (live != status.problem.empty())
    throw Error(Errc::protocol, "either 'live' or 'problem' is expected");
  if (live) parse_live(object_field(json, "live"), status);
  return status;
}

Json to_json(const DomainCheck& check) {
  return {{"domain_name", check.domain_name},
          {"ip_address", check.ip_address},
          {"ping", check.ping},
          {"ssh", check.ssh}};
}

DomainCheck parse_domain_check(const Json& json) {
  DomainCheck check;
  check.domain_name = text_field(json, "domain_name");
  check.ip_address = text_field(json, "ip_address");
  check.ping = bool_field(json, "ping");
  check.ssh = bool_field(json, "ssh");
  return check;
}

Json to_json(const NetworkState& network) {
  return {{"network_name", network.network_name},
          {"domain_name", network.domain_name},
          {"bridge_name", network.bridge_name},
          {"tap_name", network.tap_name},
          {"subnet", network.subnet},
          {"gateway", network.gateway},
          {"ip_address", network.ip_address},
          {"mac_address", network.mac_address},
          {"up", network.up}};
}

NetworkState parse_network_state(const Json& json) {
  NetworkState network;
  network.network_name = text_field(json, "network_name");
  network.domain_name = text_field(json, "domain_name");
  network.bridge_name = text_field(json, "bridge_name");
  network.tap_name = text_field(json, "tap_name");
  network.subnet = text_field(json, "subnet");
  network.gateway = text_field(json, "gateway");
  network.ip_address = text_field(json, "ip_address");
  network.mac_address = text_field(json, "mac_address");
  network.up = bool_field(json, "up");
  return network;
}

}  // namespace wso::api
