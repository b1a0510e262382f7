// Every value type on the wire: read back equal, and each field that is missing, of another type or
// out of range is refused by name.
#include <gtest/gtest.h>

#include <wso/api/wire.hpp>
#include <wso/base/domain_json.hpp>
#include <wso/base/error.hpp>

namespace wso::api {
namespace {

DomainSpec some_spec() {
  DomainSpec spec;
  spec.domain_name = "web";
  spec.n_cpus = 2;
  spec.memory_kib = 1024 * 1024;
  spec.iso_path = "/srv/demo.iso";
  spec.disk_size_bytes = 20 * gib;
  spec.paused = true;
  spec.autostart = true;
  spec.restart = RestartPolicy::on_failure;
  spec.restart_limit = 3;
  spec.health = {HealthProbe::tcp, 80, 1, 20, 30, 4, 5, UnhealthyAction::recreate};
  return spec;
}

DomainState some_state() {
  DomainState state;
  state.domain_name = "wso-3332a2";
  state.domain_id = "3332a2";
  state.network_name = "wso-net-3332a2";
  state.bridge_name = "virbr3332a2";
  state.ip_address = "192.168.100.229";
  state.mac_address = "52:54:00:01:02:03";
  state.state = RunState::running;
  state.reason = "launched";
  state.healthcheck_state = HealthState::unhealthy;
  state.n_failed_healthchecks = 3;
  state.autostart = true;
  state.restart = RestartPolicy::always;
  state.n_restarts = 2;
  state.pid = 4711;
  state.n_cpus = 2;
  state.memory_kib = 512 * 1024;
  state.disk_path = "/tmp/disk.qcow2";
  state.iso_path = "/srv/demo.iso";
  state.started_at = 1700000000;
  return state;
}

DomainStatus live_status() {
  DomainStatus status;
  status.state = some_state();
  status.qemu_status = "running";
  status.n_vcpus = 2;
  status.drives = {{"disk", 1, 2, 3, 4}, {"cdrom", 5, 6, 7, 8}};
  status.network = {9, 10, 11, 12};
  return status;
}

DomainStatus dead_status() {
  DomainStatus status;
  status.state = some_state();
  status.problem = "QEMU does not answer";
  return status;
}

NetworkState some_network() {
  return {"wso-net-web",   "web",           "virbrweb",          "vnetweb", "192.168.100.0/24",
          "192.168.100.1", "192.168.100.9", "52:54:00:01:02:03", true};
}

// The sentence of the protocol error that parse throws.
template <typename Parse>
std::string refusal(Parse parse, const Json& json) {
  try {
    parse(json);
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), Errc::protocol) << error.what();
    return error.what();
  }
  ADD_FAILURE() << "not refused: " << json;
  return {};
}

bool same_type(const Json& a, const Json& b) {
  return a.type() == b.type() || (a.is_number_integer() && b.is_number_integer());
}

// Breaks each field at any depth of a good value in every way; its name must be in the sentence.
template <typename Parse>
void expect_each_field_checked(Parse parse, const Json& good) {
  const Json wrong_values = {nullptr, true, 1.5, "some text", 42, Json::array(), Json::object()};
  const Json leaves = good.flatten();
  for (const auto& [path, leaf] : leaves.items()) {
    const Json::json_pointer pointer(path);
    const std::string quoted = '\'' + pointer.back() + '\'';
    for (const Json& wrong : wrong_values) {
      if (same_type(wrong, leaf)) continue;
      Json broken = good;
      broken[pointer] = wrong;
      EXPECT_NE(refusal(parse, broken).find(quoted), std::string::npos) << path << " " << wrong;
    }
    Json without = good;
    without[pointer.parent_pointer()].erase(pointer.back());
    EXPECT_NE(refusal(parse, without).find(quoted), std::string::npos) << path;
    if (!leaf.is_number()) continue;
    for (const Json& wrong : {Json(-1), Json(std::numeric_limits<std::uint64_t>::max())}) {
      Json broken = good;
      broken[pointer] = wrong;
      EXPECT_NE(refusal(parse, broken).find(quoted), std::string::npos) << path << " " << wrong;
    }
  }
}

template <typename Parse>
void expect_only_objects(Parse parse) {
  for (const Json& json : {Json(nullptr), Json(1), Json("x"), Json::array(), Json(true)})
    EXPECT_NE(refusal(parse, json), "") << json;
}

template <typename Parse>
void expect_unknown_ignored(Parse parse, Json json) {
  const auto value = parse(json);
  json["of_a_later_version"] = {1, 2};
  EXPECT_EQ(parse(json), value);
}

TEST(WireSpec, IsReadBackEqual) { EXPECT_EQ(parse_domain_spec(to_json(some_spec())), some_spec()); }

TEST(WireSpec, NeedsOnlyAName) {
  DomainSpec spec;
  spec.domain_name = "web";
  EXPECT_EQ(parse_domain_spec({{"domain_name", "web"}}), spec);
}

TEST(WireSpec, RefusesWhatItDoesNotKnow) {
  Json json = to_json(some_spec());
  json["memory"] = 5;
  EXPECT_EQ(refusal(parse_domain_spec, json), "'memory' is not known");
  expect_only_objects(parse_domain_spec);
}

TEST(WireSpec, ChecksEachField) {
  const Json good = to_json(some_spec());
  const Json wrong_values = {1.5,
                             "some text",
                             true,
                             -1,
                             Json::array(),
                             Json::object(),
                             std::numeric_limits<std::uint64_t>::max()};
  for (const auto& [key, field] : good.items()) {
    for (const Json& wrong : wrong_values) {
      if (wrong.type() == field.type() && wrong != std::numeric_limits<std::uint64_t>::max())
        continue;
      Json broken = good;
      broken[key] = wrong;
      EXPECT_NE(refusal(parse_domain_spec, broken).find('\'' + key + '\''), std::string::npos)
          << wrong;
    }
  }
  EXPECT_EQ(refusal(parse_domain_spec, Json::object()), "'domain_name' is missing");
}

TEST(WireSpec, RefusesMoreThanAnIntOfCpusAndSizesThatOverflow) {
  Json json = to_json(some_spec());
  json["n_cpus"] = std::int64_t{1} << 31;
  EXPECT_NE(refusal(parse_domain_spec, json).find("'n_cpus'"), std::string::npos);
  json = to_json(some_spec());
  json["memory_kib"] = std::int64_t{1} << 53;
  EXPECT_NE(refusal(parse_domain_spec, json).find("'memory_kib'"), std::string::npos);
}

TEST(WireSpec, RefusesAPathThatEndsEarly) {
  Json json = to_json(some_spec());
  json["iso_path"] = std::string("/srv/a.iso\0b", 12);
  EXPECT_NE(refusal(parse_domain_spec, json).find("'iso_path'"), std::string::npos);
}

TEST(WireState, IsReadBackEqual) {
  EXPECT_EQ(parse_domain_state(to_json(some_state())), some_state());
  EXPECT_EQ(parse_domain_state(to_json(DomainState())), DomainState());
}

TEST(WireState, IsReadBackInEachState) {
  for (const RunState state :
       {RunState::launching, RunState::starting, RunState::running, RunState::paused,
        RunState::unresponsive, RunState::stopping, RunState::stopped, RunState::destroying}) {
    DomainState domain = some_state();
    domain.state = state;
    EXPECT_EQ(parse_domain_state(to_json(domain)), domain);
  }
}

TEST(WireState, ChecksEachField) {
  expect_each_field_checked(parse_domain_state, to_json(some_state()));
  expect_only_objects(parse_domain_state);
  expect_unknown_ignored(parse_domain_state, to_json(some_state()));
}

TEST(WireState, RefusesAStateThatIsNone) {
  Json json = to_json(some_state());
  json["state"] = "flying";
  EXPECT_EQ(refusal(parse_domain_state, json), "'state' is 'flying', which is not known");
}

TEST(WireState, RefusesPidsAndSizesThatOverflow) {
  for (const char* key : {"pid", "n_cpus", "n_failed_healthchecks", "memory_kib"}) {
    Json json = to_json(some_state());
    json[key] = std::int64_t{1} << 62;
    EXPECT_NE(refusal(parse_domain_state, json).find(key), std::string::npos);
  }
}

TEST(WireVerbResult, IsReadBackEqual) {
  for (const bool changed : {true, false}) {
    const VerbResult result{some_state(), changed};
    EXPECT_EQ(parse_verb_result(to_json(result)), result);
  }
  expect_each_field_checked(parse_verb_result, to_json(VerbResult{some_state(), true}));
}

TEST(WireHealth, ChecksEachField) {
  const auto parse = [](const Json& json) { return health_field({{"health", json}}); };
  const Json good = to_json(some_spec().health);
  for (const auto& [key, field] : good.items()) {
    for (const Json& wrong : {Json(1.5), Json("some text"), Json(true), Json(-1), Json::array()}) {
      Json broken = good;
      broken[key] = wrong;
      EXPECT_NE(refusal(parse, broken).find('\'' + key + '\''), std::string::npos) << wrong;
    }
  }
  Json json = good;
  json["colour"] = 1;
  EXPECT_EQ(refusal(parse, json), "'colour' is not known");
  EXPECT_EQ(refusal(parse, Json::object()), "'probe' is missing");
  EXPECT_EQ(refusal(parse, 5), "'health' must be an object");
  EXPECT_EQ(parse({{"probe", "ping"}}).interval_ms, 10'000);
}

TEST(WireStatus, IsReadBackEqual) {
  EXPECT_EQ(parse_domain_status(to_json(live_status())), live_status());
  EXPECT_EQ(parse_domain_status(to_json(dead_status())), dead_status());
}

TEST(WireStatus, HasTheFieldsOfTheStateBesideItsOwn) {
  Json json = to_json(live_status());
  EXPECT_EQ(json["live"]["drives"].size(), 2U);
  json.erase("live");
  EXPECT_EQ(json, to_json(some_state()));
}

TEST(WireStatus, ChecksEachField) {
  Json json = to_json(live_status());
  json["live"]["drives"].erase(1);
  expect_each_field_checked(parse_domain_status, json);
  expect_each_field_checked(parse_domain_status, to_json(dead_status()));
  expect_only_objects(parse_domain_status);
  expect_unknown_ignored(parse_domain_status, to_json(live_status()));
}

TEST(WireStatus, RefusesAStatusThatIsBothLiveAndNot) {
  Json json = to_json(live_status());
  json["problem"] = "but";
  EXPECT_EQ(refusal(parse_domain_status, json), "either 'live' or 'problem' is expected");
}

TEST(WireStatus, RefusesLivePartsOfAnotherType) {
  for (const char* key : {"drives", "network"})
    for (const Json& wrong : {Json(nullptr), Json("x"), Json(1)}) {
      Json json = to_json(live_status());
      json["live"][key] = wrong;
      EXPECT_NE(refusal(parse_domain_status, json).find(key), std::string::npos);
    }
  Json json = to_json(live_status());
  json["live"] = "x";
  EXPECT_EQ(refusal(parse_domain_status, json), "'live' must be an object");
}

TEST(WireCheck, IsReadBackEqual) {
  for (const bool ok : {true, false}) {
    const DomainCheck check{"web", "192.168.100.9", ok, !ok};
    EXPECT_EQ(parse_domain_check(to_json(check)), check);
  }
}

TEST(WireCheck, ChecksEachField) {
  const Json good = to_json(DomainCheck{"web", "192.168.100.9", true, true});
  expect_each_field_checked(parse_domain_check, good);
  expect_only_objects(parse_domain_check);
  expect_unknown_ignored(parse_domain_check, good);
}

TEST(WireNetwork, IsReadBackEqual) {
  EXPECT_EQ(parse_network_state(to_json(some_network())), some_network());
}

TEST(WireNetwork, ChecksEachField) {
  expect_each_field_checked(parse_network_state, to_json(some_network()));
  expect_only_objects(parse_network_state);
  expect_unknown_ignored(parse_network_state, to_json(some_network()));
}

}  // namespace
}  // namespace wso::api
