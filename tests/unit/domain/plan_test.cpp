#include <set>

#include <gtest/gtest.h>

#include <wso/base/error.hpp>

#include "fixtures.hpp"

namespace wso::domain {
namespace {

using test::make_test_settings;
using test::nothing_taken;
using test::plan_for;

TEST(PlanTest, NamesAndAddressesFollowTheTable) {
  const DomainPlan plan = plan_for("wso-3332a2");
  EXPECT_EQ(plan.domain_id, "3332a2");
  EXPECT_EQ(plan.network_name(), "wso-net-3332a2");
  EXPECT_EQ(plan.bridge_name(), "virbr3332a2");
  EXPECT_EQ(plan.tap_name(), "vnet3332a2");
  EXPECT_EQ(net::to_string(plan.address), "192.168.100.229");
  EXPECT_EQ(net::to_string(plan.mac), "52:54:00:15:13:2f");
  EXPECT_EQ(plan.disk_path, "/tmp/wso-wso-3332a2-disk.qcow2");
  EXPECT_EQ(plan.script_path, "/tmp/wso-wso-3332a2-netconfig.sh");
  EXPECT_EQ(net::to_string(plan.tap_mac()), "fe:54:00:15:13:2f");
}

TEST(PlanTest, IdIsAtMostEightCharacters) {
  EXPECT_EQ(plan_for("web").domain_id, "web");
  EXPECT_EQ(plan_for("webserver-1").domain_id, "webserve");
  EXPECT_EQ(plan_for("wso-webserver-1").domain_id, "webserve");
  EXPECT_EQ(plan_for("wso-").domain_id, "wso-");
  EXPECT_LE(plan_for(std::string(63, 'a')).bridge_name().size(), 13U);
}

TEST(PlanTest, TheSecondOfTwoEqualIdsIsFromTheDigest) {
  const Taken taken{[](const std::string& id) { return id == "webserve"; }, nothing_taken.address};
  DomainSpec spec;
  spec.domain_name = "wso-webserver-2";
  const DomainPlan plan = make_plan(spec, make_test_settings(), taken, test::uuid);
  // printf wso-webserver-2 | sha256sum
  EXPECT_EQ(plan.domain_id, "64363951");
  EXPECT_EQ(plan.bridge_name(), "virbr64363951");
}

TEST(PlanTest, TwoCollisionsOfIdsAreAnError) {
  const Taken taken{[](const std::string&) { return true; }, nothing_taken.address};
  DomainSpec spec;
  spec.domain_name = "web";
  EXPECT_THROW(make_plan(spec, make_test_settings(), taken, test::uuid), Error);
}

TEST(PlanTest, ATakenAddressGivesTheNextAndWraps) {
  std::set<std::uint32_t> used;
  const Taken taken{nothing_taken.id,
                    [&](net::Ipv4Address address) { return used.contains(address.value); }};
  DomainSpec spec;
  spec.domain_name = "wso-3332a2";
  const auto settings = make_test_settings();
  const auto next = [&] { return make_plan(spec, settings, taken, test::uuid).address; };
  used.insert(next().value);
  EXPECT_EQ(net::to_string(next()), "192.168.100.230");
  for (std::uint32_t last = 230; last <= 254; ++last)
    used.insert(settings.subnet.base.value + last);
  EXPECT_EQ(net::to_string(next()), "192.168.100.2");
}

TEST(PlanTest, AllAddressesAreUsedAndThenTheSubnetIsFull) {
  std::set<std::uint32_t> used;
  const Taken taken{nothing_taken.id,
                    [&](net::Ipv4Address address) { return used.contains(address.value); }};
  DomainSpec spec;
  spec.domain_name = "web";
  const auto settings = make_test_settings();
  for (int domain = 0; domain < 253; ++domain)
    EXPECT_TRUE(used.insert(make_plan(spec, settings, taken, test::uuid).address.value).second);
  EXPECT_FALSE(used.contains(settings.gateway.value));
  EXPECT_FALSE(used.contains(settings.subnet.base.value));
  EXPECT_FALSE(used.contains(settings.subnet.broadcast().value));
  try {
    make_plan(spec, settings, taken, test::uuid);
    FAIL() << "a full subnet was accepted";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), Errc::busy);
    EXPECT_NE(std::string(error.what()).find("192.168.100.0/24 is full"), std::string::npos);
  }
}

TEST(PlanTest, TheGatewayIsNeverADomainsAddressWhereverItIs) {
  auto settings = make_test_settings();
  settings.subnet = net::parse_ipv4_subnet("10.0.0.0/29");
  settings.gateway = net::parse_ipv4("10.0.0.6");
  std::set<std::uint32_t> used;
  const Taken taken{nothing_taken.id,
                    [&](net::Ipv4Address address) { return used.contains(address.value); }};
  DomainSpec spec;
  spec.domain_name = "web";
  for (int domain = 0; domain < 4; ++domain)
    used.insert(make_plan(spec, settings, taken, test::uuid).address.value);
  EXPECT_FALSE(used.contains(settings.gateway.value));
  EXPECT_THROW(make_plan(spec, settings, taken, test::uuid), Error);
}

TEST(PlanTest, NoTwoDomainsShareAUser) {
  const auto settings = make_test_settings();
  EXPECT_EQ(uid_of(plan_for("wso-3332a2"), settings), 1'900'000'229U);
}

TEST(ValidateTest, DomainNames) {
  for (const char* good : {"a", "0", "web", "Web-1_x.y", "wso-3332a2"})
    EXPECT_NO_THROW(validate_domain_name(good)) << good;
  EXPECT_NO_THROW(validate_domain_name(std::string(63, 'a')));
  for (const char* bad :
       {"", "-a", ".a", "_a", "..", "a b", "a/b", "a\n", "a,b", "a;b", "ä", "a\x01"})
    EXPECT_THROW(validate_domain_name(bad), Error) << bad;
  EXPECT_THROW(validate_domain_name(std::string(64, 'a')), Error);
  EXPECT_THROW(validate_domain_name(std::string_view("a\0b", 3)), Error);
}

TEST(ValidateTest, Sizes) {
  DomainSpec good;
  good.domain_name = "web";
  EXPECT_NO_THROW(validate(good));
  const auto refused = [&](auto change) {
    DomainSpec spec = good;
    change(spec);
    EXPECT_THROW(validate(spec), Error);
  };
  refused([](DomainSpec& spec) { spec.n_cpus = 0; });
  refused([](DomainSpec& spec) { spec.n_cpus = -1; });
  refused([](DomainSpec& spec) { spec.n_cpus = 256; });
  refused([](DomainSpec& spec) { spec.memory_kib = 0; });
  refused([](DomainSpec& spec) { spec.memory_kib = 1024; });
  refused([](DomainSpec& spec) { spec.memory_kib = UINT64_MAX; });
  refused([](DomainSpec& spec) { spec.disk_size_bytes = 0; });
  refused([](DomainSpec& spec) { spec.disk_size_bytes = UINT64_MAX; });
  refused([](DomainSpec& spec) { spec.iso_path = "relative.iso"; });
}

TEST(UuidTest, IsVersionFourAndNew) {
  const std::string uuid = random_uuid();
  ASSERT_EQ(uuid.size(), 36U);
  EXPECT_EQ(uuid[14], '4');
  EXPECT_NE(std::string("89ab").find(uuid[19]), std::string::npos);
  EXPECT_NE(uuid, random_uuid());
}

}  // namespace
}  // namespace wso::domain
