// The text of the guest's network script. WSO_REGENERATE=1 writes the golden file anew; the diff is
// then to be read.
#include <cstdlib>
#include <fstream>
#include <string>
#include <utility>

#include <gtest/gtest.h>

#include <wso/guest/netconfig.hpp>

#include "command.hpp"
#include "fixtures.hpp"
#include "scratch.hpp"

namespace wso::guest {
namespace {

using test::contents_of;
using test::sample_config;

bool has_line(const std::string& text, const std::string& line) {
  return text.find("\n" + line + "\n") != std::string::npos;
}

TEST(NetworkScriptTest, IsTheGoldenOne) {
  const std::string path = WSO_GOLDEN_DIR "/netconfig.sh";
  const std::string script = network_script(sample_config());
  if (std::getenv("WSO_REGENERATE") != nullptr) std::ofstream(path) << script;
  EXPECT_EQ(script, contents_of(path)) << path;
}

TEST(NetworkScriptTest, IsPosixShell) {
  const test::Scratch scratch;
  const std::string path = scratch.put("netconfig.sh", network_script(sample_config()));
  for (const std::string shell : {"busybox ash", "dash", "bash --posix"})
    EXPECT_EQ(test::output_of(shell + " -n " + path), "") << shell;
}

TEST(NetworkScriptTest, StaysValidForTheWeirdestName) {
  const test::Scratch scratch;
  auto config = sample_config();
  config.domain_name = "0_.-" + std::string(59, '.');
  const std::string path = scratch.put("netconfig.sh", network_script(config));
  EXPECT_EQ(test::output_of("dash -n " + path), "");
}

TEST(NetworkScriptTest, TakesTheNetmaskFromThePrefix) {
  const std::pair<int, std::string> cases[] = {{0, "0.0.0.0"},          {1, "128.0.0.0"},
                                               {8, "255.0.0.0"},        {22, "255.255.252.0"},
                                               {24, "255.255.255.0"},   {25, "255.255.255.128"},
                                               {30, "255.255.255.252"}, {32, "255.255.255.255"}};
  for (const auto& [prefix_length, netmask] : cases) {
    auto config = sample_config();
    config.prefix_length = prefix_length;
    EXPECT_TRUE(has_line(network_script(config), "netmask='" + netmask + "'")) << prefix_length;
  }
}

TEST(NetworkScriptTest, MayHaveAnyNumberOfDnsServers) {
  auto config = sample_config();
  config.dns_servers = {};
  EXPECT_TRUE(has_line(network_script(config), "dns_servers=''"));
  config.dns_servers = {"9.9.9.9"};
  EXPECT_TRUE(has_line(network_script(config), "dns_servers='9.9.9.9'"));
}

}  // namespace
}  // namespace wso::guest
