#include <wso/base/error.hpp>
#include <wso/domain/health.hpp>

namespace wso::domain {
namespace {

constexpr std::int64_t longest_ms = 24LL * 60 * 60 * 1000;
constexpr std::int64_t most_in_a_row = 1000;

void check_range(std::string_view what, std::int64_t value, std::int64_t min, std::int64_t max) {
  if (value < min || value > max)
    throw Error(Errc::invalid_argument, "health {} is {}, and must be from {} to {}", what, value,
                min, max);
}

}  // namespace

void validate(const HealthCheck& health) {
  if (health.probe == HealthProbe::none) {
    if (health.on_unhealthy != UnhealthyAction::none)
      throw Error(Errc::invalid_argument, "on_unhealthy is '{}', but there is no health probe",
                  name(health.on_unhealthy));
    return;
  }
  if (health.probe == HealthProbe::tcp) check_range("port", health.port, 1, 65535);
  check_range("initial_delay_ms", health.initial_delay_ms, 0, longest_ms);
  check_range("interval_ms", health.interval_ms, 10, longest_ms);
  check_range("timeout_ms", health.timeout_ms, 10, longest_ms);
  check_range("failures", health.failures, 1, most_in_a_row);
  check_range("successes", health.successes, 1, most_in_a_row);
}

Health::Health(const HealthCheck& check)
    : check_(check),
      state_(check.probe == HealthProbe::none ? HealthState::none : HealthState::initializing) {}

bool Health::observe(bool success) {
  const HealthState before = state_;
  if (success) {
    n_failed_ = 0;
    ++n_succeeded_;
    if (n_succeeded_ >= check_.successes) state_ = HealthState::healthy;
  } else {
    n_succeeded_ = 0;
    ++n_failed_;
    if (n_failed_ >= check_.failures) state_ = HealthState::unhealthy;
  }
  return state_ != before;
}

}  // namespace wso::domain
