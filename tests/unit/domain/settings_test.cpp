// Which options make a server, and what is said of those that do not.
#include <limits>

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include <wso/base/error.hpp>
#include <wso/base/unique_fd.hpp>
#include <wso/domain/settings.hpp>

#include "../base/scratch.hpp"

namespace wso::domain {
namespace {

using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

ServerOptions tcg_options() {
  ServerOptions options;
  options.accel = "tcg";
  return options;
}

// The options must be refused with a sentence that has all of these words.
void expect_refused(const ServerOptions& options, const std::vector<std::string>& words) {
  const Error error = wso::test::failure_of_call([&options] { make_settings(options); });
  EXPECT_EQ(error.code(), Errc::invalid_argument) << error.what();
  for (const auto& word : words) EXPECT_THAT(error.what(), HasSubstr(word));
}

TEST(SettingsTest, TheDefaultsMakeAServer) {
  const Settings settings = make_settings(tcg_options());
  EXPECT_EQ(settings.records_dir(), "/var/lib/wso/domains");
  EXPECT_EQ(settings.log_dir(), "/var/lib/wso/log");
  EXPECT_EQ(settings.runtime_dir, "/run/wso");
  EXPECT_EQ(settings.disk_dir, "/tmp");
  EXPECT_EQ(net::to_string(settings.subnet), "192.168.100.0/24");
  EXPECT_EQ(net::to_string(settings.gateway), "192.168.100.1");
  EXPECT_THAT(settings.dns_servers, ElementsAre("8.8.8.8", "8.8.4.4"));
  EXPECT_TRUE(settings.guest_to_host);
  EXPECT_EQ(settings.acceleration.name, "tcg");
  EXPECT_FALSE(settings.acceleration.device_group);
  EXPECT_EQ(settings.first_uid, 1'900'000'000U);
  EXPECT_EQ(settings.qemu_start_limit, std::chrono::seconds(30));
}

TEST(SettingsTest, PathsMustBeAbsolute) {
  for (const char* path : {"", ".", "..", "relative", "./relative", "~/wso"}) {
    auto options = tcg_options();
    options.workdir = path;
    expect_refused(options, {"workdir", path});
    options = tcg_options();
    options.runtime_dir = path;
    expect_refused(options, {"runtime_dir", path});
    options = tcg_options();
    options.disk_dir = path;
    expect_refused(options, {"disk_dir", path});
    options = tcg_options();
    options.qemu = path;
    expect_refused(options, {"qemu", path});
  }
}

TEST(SettingsTest, PathsAreNormal) {
  auto options = tcg_options();
  options.workdir = "/a//b/../c/";
  options.disk_dir = "/a/./b";
  const Settings settings = make_settings(options);
  EXPECT_EQ(settings.records_dir(), "/a/c/domains");
  EXPECT_EQ(settings.disk_dir, "/a/b");
}

TEST(SettingsTest, TheLongestSocketMustFitBelowTheRuntimeDir) {
  auto options = tcg_options();
  // 107 bytes, less "/12345678.console.new".
  options.runtime_dir = "/" + std::string(85, 'r');
  EXPECT_EQ(make_settings(options).runtime_dir, options.runtime_dir);
  options.runtime_dir = "/" + std::string(86, 'r');
  expect_refused(options, {"runtime_dir", "107"});
}

TEST(SettingsTest, TheSubnetMustBeOne) {
  for (const char* subnet : {"", "192.168.100.0", "192.168.100.0/", "/24", "192.168.100.0/33",
                             "192.168.100.0/-1", "192.168.100.0/24 ", "192.168.100.7/24",
                             "192.168.100/24", "fd00::/64", "192.168.0100.0/24", "default"}) {
    auto options = tcg_options();
    options.subnet = subnet;
    expect_refused(options, {"subnet", subnet});
  }
}

TEST(SettingsTest, TheSubnetMustHaveRoomAndAnEnd) {
  auto options = tcg_options();
  for (const char* subnet : {"0.0.0.0/0", "192.0.0.0/7", "192.168.100.0/31", "192.168.100.1/32"}) {
    options.subnet = subnet;
    expect_refused(options, {"subnet", subnet});
  }
  options.gateway = "10.0.0.1";
  for (const char* subnet : {"10.0.0.0/8", "10.0.0.0/30"}) {
    options.subnet = subnet;
    EXPECT_EQ(net::to_string(make_settings(options).subnet), subnet);
  }
}

TEST(SettingsTest, TheSubnetMustBeOfHosts) {
  const std::pair<const char*, const char*> cases[] = {{"0.0.0.0/8", "0.0.0.1"},
                                                       {"127.0.0.0/8", "127.0.0.1"},
                                                       {"127.9.0.0/24", "127.9.0.1"},
                                                       {"224.0.0.0/24", "224.0.0.1"},
                                                       {"239.1.0.0/16", "239.1.0.1"},
                                                       {"240.0.0.0/8", "240.0.0.1"},
                                                       {"255.255.255.0/24", "255.255.255.1"}};
  for (const auto& [subnet, gateway] : cases) {
    auto options = tcg_options();
    options.subnet = subnet;
    options.gateway = gateway;
    expect_refused(options, {"subnet", subnet});
  }
}

TEST(SettingsTest, TheGatewayMustBeAHostOfTheSubnet) {
  for (const char* gateway : {"", "gateway", "192.168.100", "192.168.100.1/24", "192.168.100.0",
                              "192.168.100.255", "192.168.101.1", "0.0.0.0", "fd00::1"}) {
    auto options = tcg_options();
    options.gateway = gateway;
    expect_refused(options, {"gateway", gateway});
  }
  auto options = tcg_options();
  options.gateway = "192.168.100.254";
  EXPECT_EQ(net::to_string(make_settings(options).gateway), "192.168.100.254");
}

TEST(SettingsTest, DnsServersMustBeAddresses) {
  auto options = tcg_options();
  for (const char* server : {"", "dns.google", "8.8.8", "8.8.8.8 ", "2001:4860:4860::8888",
                             "8.8.8.8\nnameserver 1.1.1.1", "$(reboot)"}) {
    options.dns_servers = {"1.1.1.1", server};
    expect_refused(options, {"dns_servers", server});
  }
  options.dns_servers = {};
  EXPECT_THAT(make_settings(options).dns_servers, IsEmpty());
}

TEST(SettingsTest, GuestToHostIsAllowOrDeny) {
  auto options = tcg_options();
  for (const char* word : {"", "yes", "Allow", "deny ", "reject"}) {
    options.guest_to_host = word;
    expect_refused(options, {"guest_to_host", "allow or deny"});
  }
  options.guest_to_host = "deny";
  EXPECT_FALSE(make_settings(options).guest_to_host);
}

TEST(SettingsTest, NoDomainRunsAsRootOrAsNobodysUser) {
  auto options = tcg_options();
  constexpr uid_t none = std::numeric_limits<uid_t>::max();
  for (const uid_t first : {uid_t{0}, none, none - 1, none - 255, none - 128}) {
    options.first_uid = first;
    expect_refused(options, {"first_uid"});
  }
  options.first_uid = none - 256;
  EXPECT_EQ(make_settings(options).first_uid, options.first_uid);
  options.subnet = "10.0.0.0/8";
  options.gateway = "10.0.0.1";
  expect_refused(options, {"first_uid", "10.0.0.0/8"});
}

TEST(SettingsTest, AccelIsAutoKvmOrTcg) {
  ServerOptions options;
  for (const char* word : {"", "KVM", "kvm ", "hvf", "kvm,thread=single", "none"}) {
    options.accel = word;
    expect_refused(options, {fmt::format("accel '{}'", word), "auto, kvm or tcg"});
  }
}

// A /dev of the test's own, in which it makes what stands for the KVM device.
class AccelerationTest : public testing::Test {
 protected:
  static constexpr gid_t kvm_group = 108;

  void SetUp() override {
    ours_.reset(::open("/proc/thread-self/ns/mnt", O_RDONLY | O_CLOEXEC));
    directory_.reset(::open(".", O_PATH | O_DIRECTORY | O_CLOEXEC));
    ASSERT_EQ(::unshare(CLONE_NEWNS), 0);
    ASSERT_EQ(::mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr), 0);
    ASSERT_EQ(::mount("tmpfs", "/dev", "tmpfs", 0, "mode=755"), 0);
  }

  void TearDown() override {
    ASSERT_EQ(::setns(ours_.get(), CLONE_NEWNS), 0);
    ASSERT_EQ(::fchdir(directory_.get()), 0);
  }

  static void make_device(mode_t mode, gid_t group) {
    const UniqueFd device(::open("/dev/kvm", O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
    ASSERT_EQ(::fchown(device.get(), 0, group), 0);
    ASSERT_EQ(::fchmod(device.get(), mode), 0);
  }

  static Acceleration chosen(const std::string& accel) {
    ServerOptions options;
    options.accel = accel;
    return make_settings(options).acceleration;
  }

  static void expect_tcg_only() {
    EXPECT_EQ(chosen("auto").name, "tcg");
    ServerOptions options;
    options.accel = "kvm";
    expect_refused(options, {"accel 'kvm'", "/dev/kvm"});
  }

  UniqueFd ours_;
  UniqueFd directory_;
};

TEST_F(AccelerationTest, WithoutADeviceThereIsNoKvm) { expect_tcg_only(); }

TEST_F(AccelerationTest, ADeviceOfRootOnlyIsOfNoUse) {
  make_device(0600, 0);
  expect_tcg_only();
  make_device(0600, kvm_group);
  expect_tcg_only();
  make_device(0640, kvm_group);
  expect_tcg_only();
}

TEST_F(AccelerationTest, QemuIsNotPutIntoRootsGroup) {
  make_device(0660, 0);
  expect_tcg_only();
}

TEST_F(AccelerationTest, ADeviceOfAGroupIsOpenedAsItsMember) {
  make_device(0660, kvm_group);
  for (const char* accel : {"auto", "kvm"}) {
    EXPECT_EQ(chosen(accel).name, "kvm");
    EXPECT_EQ(chosen(accel).device_group, kvm_group);
  }
  EXPECT_EQ(chosen("tcg").name, "tcg");
}

TEST_F(AccelerationTest, ADeviceOfAllNeedsNoGroup) {
  make_device(0666, kvm_group);
  for (const char* accel : {"auto", "kvm"}) {
    EXPECT_EQ(chosen(accel).name, "kvm");
    EXPECT_FALSE(chosen(accel).device_group);
  }
}

}  // namespace
}  // namespace wso::domain
