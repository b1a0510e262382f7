#include <wso/base/domain_json.hpp>
#include <wso/base/error.hpp>
#include <wso/domain/record.hpp>

namespace wso::domain {
namespace {

// 2: restart policy, autostart, health, the subnet. A record of version 1 lacks them.
constexpr int format_version = 2;
constexpr std::int64_t int_max = std::numeric_limits<int>::max();

std::string_view name(PowerButton pressed_for) {
  switch (pressed_for) {
    case PowerButton::none:
      break;
    case PowerButton::stop:
      return "stop";
    case PowerButton::reboot:
      return "reboot";
  }
  return "none";
}

std::optional<PowerButton> parse_power_button(std::string_view word) {
  for (const auto known : {PowerButton::none, PowerButton::stop, PowerButton::reboot})
    if (name(known) == word) return known;
  return std::nullopt;
}

Json to_json(const FileIdentity& file) { return {{"device", file.device}, {"inode", file.inode}}; }

FileIdentity parse_identity(const Json& record, std::string_view key) {
  const Json* json = find_field(record, key);
  if (json == nullptr) throw Error(Errc::protocol, "'{}' is missing", key);
  return {static_cast<std::uint64_t>(integer_field(*json, "device")),
          static_cast<std::uint64_t>(integer_field(*json, "inode"))};
}

DomainSpec parse_spec(const Json& json) {
  DomainSpec spec;
  spec.domain_name = text_field(json, "domain_name");
  spec.n_cpus = static_cast<int>(integer_field(json, "n_cpus", 1, 1 << 16));
  spec.memory_kib = static_cast<std::uint64_t>(integer_field(json, "memory_kib"));
  spec.iso_path = text_field(json, "iso_path");
  spec.disk_size_bytes = static_cast<std::uint64_t>(integer_field(json, "disk_size_bytes"));
  spec.paused = optional_bool(json, "paused", false);
  spec.autostart = optional_bool(json, "autostart", false);
  spec.restart = optional_word(json, "restart", parse_restart_policy).value_or(spec.restart);
  spec.restart_limit = static_cast<int>(
      optional_integer(json, "restart_limit", 0, int_max).value_or(spec.restart_limit));
  spec.health = health_field(json);
  validate(spec);
  return spec;
}

DomainPlan parse_plan(const Json& json) {
  DomainPlan plan;
  plan.spec = parse_spec(json);
  plan.domain_id = text_field(json, "domain_id");
  validate_domain_name(plan.domain_id);
  plan.uuid = text_field(json, "uuid");
  plan.address = net::parse_ipv4(text_field(json, "ip_address"));
  plan.mac = net::parse_mac(text_field(json, "mac_address"));
  if (const auto subnet = optional_text(json, "subnet"))
    plan.subnet = net::parse_ipv4_subnet(*subnet);
  if (const auto gateway = optional_text(json, "gateway")) plan.gateway = net::parse_ipv4(*gateway);
  plan.disk_path = text_field(json, "disk_path");
  plan.script_path = text_field(json, "script_path");
  plan.monitor_path = text_field(json, "monitor_path");
  plan.console_path = text_field(json, "console_path");
  plan.log_path = text_field(json, "log_path");
  return plan;
}

}  // namespace

DomainState state_of(const DomainRecord& record) {
  const DomainPlan& plan = record.plan;
  DomainState state;
  state.domain_name = plan.spec.domain_name;
  state.domain_id = plan.domain_id;
  state.network_name = plan.network_name();
  state.bridge_name = plan.bridge_name();
  state.ip_address = net::to_string(plan.address);
  state.mac_address = net::to_string(plan.mac);
  state.state = record.state;
  state.reason = record.reason;
  if (plan.spec.health.probe != HealthProbe::none)
    state.healthcheck_state = HealthState::initializing;
  state.autostart = plan.spec.autostart;
  state.restart = plan.spec.restart;
  state.n_restarts = record.n_restarts;
  state.pid = record.qemu.pid;
  state.n_cpus = plan.spec.n_cpus;
  state.memory_kib = plan.spec.memory_kib;
  state.disk_path = plan.disk_path;
  state.iso_path = plan.spec.iso_path;
  state.started_at = record.started_at;
  return state;
}

Json to_json(const DomainRecord& record) {
  const DomainPlan& plan = record.plan;
  return {{"version", format_version},
          {"domain_name", plan.spec.domain_name},
          {"n_cpus", plan.spec.n_cpus},
          {"memory_kib", plan.spec.memory_kib},
          {"iso_path", plan.spec.iso_path},
          {"disk_size_bytes", plan.spec.disk_size_bytes},
          {"paused", plan.spec.paused},
          {"autostart", plan.spec.autostart},
          {"restart", name(plan.spec.restart)},
          {"restart_limit", plan.spec.restart_limit},
          {"health", wso::to_json(plan.spec.health)},
          {"domain_id", plan.domain_id},
          {"uuid", plan.uuid},
          {"ip_address", net::to_string(plan.address)},
          {"mac_address", net::to_string(plan.mac)},
          {"subnet", net::to_string(plan.subnet)},
          {"gateway", net::to_string(plan.gateway)},
          {"disk_path", plan.disk_path.native()},
          {"script_path", plan.script_path.native()},
          {"monitor_path", plan.monitor_path.native()},
          {"console_path", plan.console_path.native()},
          {"log_path", plan.log_path.native()},
          {"state", name(record.state)},
          {"reason", record.reason},
          {"disk", to_json(record.disk)},
          {"script", to_json(record.script)},
          {"keep_disk", record.keep_disk},
          {"n_restarts", record.n_restarts},
          {"restart_pending", record.restart_pending},
          {"recreate_pending", record.recreate_pending},
          {"pressed_for", name(record.pressed_for)},
          {"pid", record.qemu.pid},
          {"start_time", record.qemu.start_time},
          {"started_at", record.started_at}};
}

DomainRecord parse_record(const Json& json) {
  if (const auto version = integer_field(json, "version", 1); version > format_version)
    throw Error(Errc::wrong_state,
                "it has version {}, and this wsod reads versions up to {}: run the wsod that wrote "
                "it, or a later one",
                version, format_version);
  DomainRecord record;
  record.plan = parse_plan(json);
  record.state = word_field(json, "state", parse_run_state);
  if (record.state == RunState::unresponsive)
    throw Error(Errc::protocol, "'state' is '{}', which is never recorded", name(record.state));
  record.reason = text_field(json, "reason");
  record.disk = parse_identity(json, "disk");
  record.script = parse_identity(json, "script");
  record.keep_disk = optional_bool(json, "keep_disk", false);
  record.n_restarts =
      static_cast<int>(optional_integer(json, "n_restarts", 0, int_max).value_or(0));
  record.restart_pending = optional_bool(json, "restart_pending", false);
  record.recreate_pending = optional_bool(json, "recreate_pending", false);
  record.pressed_for =
      optional_word(json, "pressed_for", parse_power_button).value_or(PowerButton::none);
  constexpr int pid_max = 1 << 22;  // PID_MAX_LIMIT of the kernel
  record.qemu.pid = static_cast<pid_t>(integer_field(json, "pid", 0, pid_max));
  record.qemu.start_time = static_cast<std::uint64_t>(integer_field(json, "start_time"));
  record.started_at = integer_field(json, "started_at");
  return record;
}

}  // namespace wso::domain
