// The configuration file: every key, and every way to get one wrong.
#include "config.hpp"

#include <functional>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <wso/base/error.hpp>

#include "../base/scratch.hpp"

namespace wso::wsod {
namespace {

using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

class ConfigTest : public testing::Test {
 protected:
  Config read(const std::string& text) const { return read_config(dir_.put("wsod.toml", text)); }

  // The sentence of the error, which names the file.
  std::string refusal(const std::string& text, Errc code = Errc::invalid_argument) const {
    const auto path = dir_.put("wsod.toml", text);
    const Error error = test::failure_of_call([&path] { read_config(path); });
    EXPECT_EQ(error.code(), code) << text;
    EXPECT_THAT(error.what(), HasSubstr(path.native())) << text;
    return error.what();
  }

  test::Scratch dir_;
};

TEST_F(ConfigTest, AnEmptyFileIsTheDefault) {
  for (const char* text : {"", "\n\n", "# accel = \"kvm\"\n", "\xef\xbb\xbf"}) {
    const Config config = read(text);
    const Config usual;
    EXPECT_EQ(config.socket, usual.socket);
    EXPECT_EQ(config.server.workdir, usual.server.workdir);
    EXPECT_EQ(config.server.dns_servers, usual.server.dns_servers);
    EXPECT_EQ(config.server.first_uid, usual.server.first_uid);
    EXPECT_EQ(config.on_exit, "keep");
    EXPECT_EQ(config.log_level, "info");
  }
}

TEST_F(ConfigTest, EveryKeyIsRead) {
  const Config config = read(R"(
workdir = "/a/work"
runtime_dir = '/a/run'
disk_dir = "/a/disks"
socket = "/a/socket"
log_level = "debug"
on_exit = "destroy"
accel = "tcg"
qemu = "/a/qemu"
subnet = "10.0.0.0/16"
gateway = "10.0.0.1"
guest_to_host = "deny"
dns_servers = ["1.1.1.1", "9.9.9.9"]
first_uid = 2_000_000
qemu_start_seconds = 5
)");
  EXPECT_EQ(config.server.workdir, "/a/work");
  EXPECT_EQ(config.server.runtime_dir, "/a/run");
  EXPECT_EQ(config.server.disk_dir, "/a/disks");
  EXPECT_EQ(config.socket, "/a/socket");
  EXPECT_EQ(config.log_level, "debug");
  EXPECT_EQ(config.on_exit, "destroy");
  EXPECT_EQ(config.server.accel, "tcg");
  EXPECT_EQ(config.server.qemu, "/a/qemu");
  EXPECT_EQ(config.server.subnet, "10.0.0.0/16");
  EXPECT_EQ(config.server.gateway, "10.0.0.1");
  EXPECT_EQ(config.server.guest_to_host, "deny");
  EXPECT_THAT(config.server.dns_servers, ElementsAre("1.1.1.1", "9.9.9.9"));
  EXPECT_EQ(config.server.first_uid, 2'000'000U);
  EXPECT_EQ(config.server.qemu_start_limit, std::chrono::seconds(5));
}

TEST_F(ConfigTest, AListMayBeEmpty) {
  EXPECT_THAT(read("dns_servers = []").server.dns_servers, IsEmpty());
}

TEST_F(ConfigTest, ATextMustBeOne) {
  for (const char* key : {"workdir", "runtime_dir", "disk_dir", "socket", "log_level", "on_exit",
                          "accel", "qemu", "subnet", "gateway", "guest_to_host"})
    for (const char* value : {"5", "true", "1.5", "[\"/a\"]", "{ a = \"b\" }", "2024-01-01"})
      EXPECT_THAT(refusal(fmt::format("{} = {}", key, value)),
                  HasSubstr(fmt::format("{} must be a string", key)));
}

TEST_F(ConfigTest, AListMustBeOneOfTexts) {
  for (const char* value : {"\"8.8.8.8\"", "8", "true", "{ a = \"b\" }"})
    EXPECT_THAT(refusal(fmt::format("dns_servers = {}", value)),
                HasSubstr("dns_servers must be a list of strings"));
  for (const char* value : {"[8]", "[\"8.8.8.8\", 8]", "[[\"8.8.8.8\"]]", "[{}]"})
    EXPECT_THAT(refusal(fmt::format("dns_servers = {}", value)),
                HasSubstr("dns_servers must be a string"));
}

TEST_F(ConfigTest, ANumberMustBeWholeAndInItsRange) {
  const std::pair<const char*, std::vector<const char*>> cases[] = {
      {"first_uid", {"0", "-1", "2147483648", "9223372036854775807", "1.0", "\"1\"", "true", "[]"}},
      {"qemu_start_seconds", {"0", "-1", "3601", "9223372036854775807", "0.5", "\"5\"", "{}"}}};
  for (const auto& [key, values] : cases)
    for (const char* value : values)
      EXPECT_THAT(refusal(fmt::format("{} = {}", key, value)),
                  HasSubstr(fmt::format("{} must be a whole number from 1 to", key)));
  EXPECT_EQ(read("first_uid = 2147483647").server.first_uid, 2147483647U);
  EXPECT_EQ(read("qemu_start_seconds = 3600").server.qemu_start_limit, std::chrono::hours(1));
}

TEST_F(ConfigTest, AKeyThatIsNotKnownIsAnError) {
  for (const char* text : {"work_dir = \"/a\"", "Workdir = \"/a\"", "\"\" = 1", "\"work dir\" = 1",
                           "[server]\nworkdir = \"/a\"", "[[server]]", "server.workdir = \"/a\""})
    EXPECT_THAT(refusal(text), HasSubstr("is not known"));
  EXPECT_THAT(refusal("accel = \"tcg\"\ncolour = 1"), HasSubstr("'colour' is not known"));
}

TEST_F(ConfigTest, ASyntaxErrorHasItsLine) {
  for (const char* line :
       {"workdir", "workdir =", "workdir = /a", "workdir = \"/a", "= 1", "[", "accel = \"\\q\"",
        "accel = \"tcg\" qemu = \"/a\"", "first_uid = 99999999999999999999", "accel = \"\xff\"",
        "on_exit = \"keep\""})
    EXPECT_THAT(refusal(fmt::format("# two lines\non_exit = \"keep\"\n{}\n", line)),
                HasSubstr("line 3: "))
        << line;
}

TEST_F(ConfigTest, AFileCutAnywhereIsReadOrRefusedInOneSentence) {
  const std::string whole =
      "dns_servers = [\"1.1.1.1\", \"9.9.9.9\"]\nfirst_uid = 2_000_000\n[a.b]\nc = {d = 1}\n";
  for (std::size_t size = 0; size < whole.size(); ++size) {
    const auto path = dir_.put("wsod.toml", whole.substr(0, size));
    try {
      read_config(path);
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), Errc::invalid_argument) << size;
      EXPECT_THAT(error.what(), HasSubstr(path.native())) << size;
    }
  }
}

TEST_F(ConfigTest, WhatIsNestedTooDeepIsRefused) {
  refusal("dns_servers = " + std::string(100'000, '['));
  refusal("dns_servers = " + std::string(100'000, '[') + std::string(100'000, ']'));
}

TEST_F(ConfigTest, AHugeFileIsRefused) {
  const std::string huge = "# " + std::string(1024 * 1024, 'x');
  EXPECT_THAT(refusal(huge, Errc::io), HasSubstr("larger than"));
}

TEST_F(ConfigTest, AFileThatIsNotThereIsNotFound) {
  for (const auto& path : {dir_ / "nothing", dir_ / "no/thing", std::filesystem::path("")}) {
    const Error error = test::failure_of_call([&path] { read_config(path); });
    EXPECT_EQ(error.code(), Errc::not_found);
    EXPECT_THAT(error.what(), HasSubstr(path.native()));
  }
}

TEST_F(ConfigTest, ADirectoryIsNoConfiguration) {
  const Error error = test::failure_of_call([this] { read_config(dir_.root()); });
  EXPECT_THAT(error.what(), HasSubstr(dir_.root().native()));
}

TEST_F(ConfigTest, ALinkIsFollowed) {
  dir_.put("real.toml", "accel = \"tcg\"");
  std::filesystem::create_symlink("real.toml", dir_ / "wsod.toml");
  EXPECT_EQ(read_config(dir_ / "wsod.toml").server.accel, "tcg");
  std::filesystem::create_symlink("nothing", dir_ / "dangling.toml");
  const Error error = test::failure_of_call([this] { read_config(dir_ / "dangling.toml"); });
  EXPECT_THAT(error.what(), HasSubstr((dir_ / "dangling.toml").native()));
}

}  // namespace
}  // namespace wso::wsod
