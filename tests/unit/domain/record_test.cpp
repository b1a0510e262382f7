#include <set>

#include <gtest/gtest.h>

#include <wso/base/error.hpp>

#include "fixtures.hpp"

namespace wso::domain {
namespace {

DomainRecord sample_record() {
  DomainRecord record;
  record.plan = test::plan_for("web");
  record.plan.spec.iso_path = "/srv/with space, comma.iso";
  record.state = RunState::running;
  record.reason = "why";
  record.disk = {0xfd00, 123456789};
  record.script = {0xfd00, 42};
  record.keep_disk = true;
  record.plan.spec.autostart = true;
  record.plan.spec.restart = RestartPolicy::always;
  record.plan.spec.restart_limit = 5;
  record.plan.spec.health = {HealthProbe::tcp,         22, 1000, 2000, 300, 4, 5,
                             UnhealthyAction::recreate};
  record.n_restarts = 3;
  record.restart_pending = true;
  record.recreate_pending = true;
  record.pressed_for = PowerButton::reboot;
  record.qemu = {4321, 99887766};
  record.started_at = 1'795'000'000;
  return record;
}

TEST(RecordTest, SurvivesTheWayToDiskAndBack) {
  const DomainRecord record = sample_record();
  EXPECT_EQ(parse_record(parse_json(dump_json(to_json(record)))), record);
}

TEST(RecordTest, AnyFieldThatIsMissingOrOfAnotherKindIsAnError) {
  // Absent in a record of version 1, or with a default since then.
  const std::set<std::string> optional = {
      "keep_disk", "paused",  "autostart",  "restart",         "restart_limit",    "health",
      "subnet",    "gateway", "n_restarts", "restart_pending", "recreate_pending", "pressed_for"};
  const Json good = to_json(sample_record());
  for (const auto& item : good.items()) {
    if (optional.contains(item.key())) continue;
    Json missing = good;
    missing.erase(item.key());
    EXPECT_THROW(parse_record(missing), Error) << item.key();
  }
  for (const auto& item : good.items()) {
    Json wrong = good;
    wrong[item.key()] = Json::array({1});
    EXPECT_THROW(parse_record(wrong), Error) << item.key();
  }
}

TEST(RecordTest, ValuesOutOfRangeAreErrors) {
  const auto refused = [](const char* key, Json value) {
    Json json = to_json(sample_record());
    json[key] = std::move(value);
    EXPECT_THROW(parse_record(json), Error) << key;
  };
  refused("version", 3);
  refused("version", 0);
  refused("state", "flying");
  refused("state", "unresponsive");
  refused("restart", "sometimes");
  refused("restart_limit", -1);
  refused("health", Json{{"probe", "smell"}});
  refused("subnet", "192.168.100.1/24");
  refused("pid", -1);
  refused("pid", 1 << 30);
  refused("ip_address", "192.168.100.256");
  refused("mac_address", "52:54:00");
  refused("domain_name", "../../etc/passwd");
  refused("domain_id", "a/b");
  refused("n_cpus", 0);
  refused("memory_kib", -5);
}

TEST(RecordTest, ALaterVersionIsToldFromDamage) {
  Json json = {{"version", 3}};
  try {
    parse_record(json);
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), Errc::wrong_state);
  }
  json["version"] = "3";
  try {
    parse_record(json);
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), Errc::protocol);
  }
}

TEST(RecordTest, StateShowsWhatUsersAreToldOfIt) {
  const DomainState state = state_of(sample_record());
  EXPECT_EQ(state.domain_name, "web");
  EXPECT_EQ(state.network_name, "wso-net-web");
  EXPECT_EQ(state.bridge_name, "virbrweb");
  EXPECT_EQ(state.state, RunState::running);
  EXPECT_EQ(state.pid, 4321);
  EXPECT_EQ(state.disk_path, "/tmp/wso-web-disk.qcow2");
}

}  // namespace
}  // namespace wso::domain
