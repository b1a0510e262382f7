#include <array>
#include <limits>
#include <utility>

#include <wso/base/domain_json.hpp>
#include <wso/base/error.hpp>
#include <wso/domain.hpp>

namespace wso {
namespace {

template <typename Enum, std::size_t size>
using Words = std::array<std::pair<Enum, std::string_view>, size>;

constexpr Words<RunState, 8> run_states{{
    {RunState::launching, "launching"},
    {RunState::starting, "starting"},
    {RunState::running, "running"},
    {RunState::paused, "paused"},
    {RunState::unresponsive, "unresponsive"},
    {RunState::stopping, "stopping"},
    {RunState::stopped, "stopped"},
    {RunState::destroying, "destroying"},
}};

constexpr Words<RestartPolicy, 3> restart_policies{{
    {RestartPolicy::no, "no"},
    {RestartPolicy::on_failure, "on-failure"},
    {RestartPolicy::always, "always"},
}};

constexpr Words<HealthProbe, 3> health_probes{{
    {HealthProbe::none, "none"},
    {HealthProbe::ping, "ping"},
    {HealthProbe::tcp, "tcp"},
}};

constexpr Words<UnhealthyAction, 3> unhealthy_actions{{
    {UnhealthyAction::none, "none"},
    {UnhealthyAction::restart, "restart"},
    {UnhealthyAction::recreate, "recreate"},
}};

constexpr Words<HealthState, 4> health_states{{
    {HealthState::none, "none"},
    {HealthState::initializing, "initializing"},
    {HealthState::healthy, "healthy"},
    {HealthState::unhealthy, "unhealthy"},
}};

template <typename Enum, std::size_t size>
std::string_view word_of(const Words<Enum, size>& words, Enum value) {
  for (const auto& [known, word] : words)
    if (known == value) return word;
  return "";
}

template <typename Enum, std::size_t size>
std::optional<Enum> value_of(const Words<Enum, size>& words, std::string_view text) {
  for (const auto& [value, word] : words)
    if (word == text) return value;
  return std::nullopt;
}

constexpr std::int64_t int_max = std::numeric_limits<int>::max();

void read_int(const Json& json, std::string_view key, int& value) {
  if (const auto number = optional_integer(json, key, 0, int_max))
    value = static_cast<int>(*number);
}

void read_ms(const Json& json, std::string_view key, std::int64_t& value) {
  value = optional_integer(json, key).value_or(value);
}

}  // namespace

std::string_view name(RunState state) { return word_of(run_states, state); }
std::optional<RunState> parse_run_state(std::string_view word) {
  return value_of(run_states, word);
}

std::string_view name(RestartPolicy policy) { return word_of(restart_policies, policy); }
std::optional<RestartPolicy> parse_restart_policy(std::string_view word) {
  return value_of(restart_policies, word);
}

std::string_view name(HealthProbe probe) { return word_of(health_probes, probe); }
std::optional<HealthProbe> parse_health_probe(std::string_view word) {
  return value_of(health_probes, word);
}

std::string_view name(UnhealthyAction action) { return word_of(unhealthy_actions, action); }
std::optional<UnhealthyAction> parse_unhealthy_action(std::string_view word) {
  return value_of(unhealthy_actions, word);
}

std::string_view name(HealthState state) { return word_of(health_states, state); }
std::optional<HealthState> parse_health_state(std::string_view word) {
  return value_of(health_states, word);
}

Json to_json(const HealthCheck& health) {
  return {{"probe", name(health.probe)},
          {"port", health.port},
          {"initial_delay_ms", health.initial_delay_ms},
          {"interval_ms", health.interval_ms},
          {"timeout_ms", health.timeout_ms},
          {"failures", health.failures},
          {"successes", health.successes},
          {"on_unhealthy", name(health.on_unhealthy)}};
}

HealthCheck health_field(const Json& owner) {
  const Json* found = find_field(owner, "health");
  if (found == nullptr) return {};
  if (!found->is_object()) throw Error(Errc::protocol, "'health' must be an object");
  const Json& json = *found;
  expect_object(json, {"probe", "port", "initial_delay_ms", "interval_ms", "timeout_ms", "failures",
                       "successes", "on_unhealthy"});
  HealthCheck health;
  health.probe = word_field(json, "probe", parse_health_probe);
  read_int(json, "port", health.port);
  read_ms(json, "initial_delay_ms", health.initial_delay_ms);
  read_ms(json, "interval_ms", health.interval_ms);
  read_ms(json, "timeout_ms", health.timeout_ms);
  read_int(json, "failures", health.failures);
  read_int(json, "successes", health.successes);
  health.on_unhealthy =
      optional_word(json, "on_unhealthy", parse_unhealthy_action).value_or(health.on_unhealthy);
  return health;
}

}  // namespace wso
