#include <gtest/gtest.h>

#include <wso/base/error.hpp>
#include <wso/domain/health.hpp>

namespace wso::domain {
namespace {

HealthCheck check(int failures, int successes) {
  HealthCheck health;
  health.probe = HealthProbe::ping;
  health.failures = failures;
  health.successes = successes;
  return health;
}

// What a row of probes, 'y' or 'n' each, leads to.
HealthState after(Health health, std::string_view probes) {
  for (const char probe : probes) health.observe(probe == 'y');
  return health.state();
}

TEST(HealthTest, NoneWithoutAProbe) { EXPECT_EQ(Health(HealthCheck()).state(), HealthState::none); }

TEST(HealthTest, ThresholdsCountInARow) {
  const Health health(check(3, 2));
  EXPECT_EQ(after(health, ""), HealthState::initializing);
  EXPECT_EQ(after(health, "y"), HealthState::initializing);
  EXPECT_EQ(after(health, "yny"), HealthState::initializing);
  EXPECT_EQ(after(health, "yy"), HealthState::healthy);
  EXPECT_EQ(after(health, "nn"), HealthState::initializing);
  EXPECT_EQ(after(health, "nnyn"), HealthState::initializing);
  EXPECT_EQ(after(health, "nnn"), HealthState::unhealthy);
  EXPECT_EQ(after(health, "yynn"), HealthState::healthy);
  EXPECT_EQ(after(health, "yynnn"), HealthState::unhealthy);
  EXPECT_EQ(after(health, "nnny"), HealthState::unhealthy);
  EXPECT_EQ(after(health, "nnnyy"), HealthState::healthy);
}

TEST(HealthTest, TellsWhenTheStateChanges) {
  Health health(check(2, 1));
  EXPECT_FALSE(health.observe(false));
  EXPECT_EQ(health.n_failed(), 1);
  EXPECT_TRUE(health.observe(false));
  EXPECT_FALSE(health.observe(false));
  EXPECT_EQ(health.n_failed(), 3);
  EXPECT_TRUE(health.observe(true));
  EXPECT_EQ(health.n_failed(), 0);
  EXPECT_FALSE(health.observe(true));
}

TEST(HealthTest, BoundsAreChecked) {
  const auto refused = [](auto change) {
    HealthCheck health = check(3, 1);
    change(health);
    EXPECT_THROW(validate(health), Error);
  };
  EXPECT_NO_THROW(validate(check(3, 1)));
  EXPECT_NO_THROW(validate(HealthCheck()));
  refused([](HealthCheck& health) { health.failures = 0; });
  refused([](HealthCheck& health) { health.successes = 0; });
  refused([](HealthCheck& health) { health.interval_ms = 9; });
  refused([](HealthCheck& health) { health.timeout_ms = 0; });
  refused([](HealthCheck& health) { health.initial_delay_ms = -1; });
  refused([](HealthCheck& health) { health.initial_delay_ms = 1LL << 40; });
  refused([](HealthCheck& health) { health.probe = HealthProbe::tcp; });
  refused([](HealthCheck& health) {
    health.probe = HealthProbe::tcp;
    health.port = 65536;
  });
  refused([](HealthCheck& health) {
    health.probe = HealthProbe::none;
    health.on_unhealthy = UnhealthyAction::restart;
  });
}

}  // namespace
}  // namespace wso::domain
