// The guest's network script as a guest runs it: for real, in network and mount namespaces of this
// process alone, with a directory of the test in the place of /etc. `ip -j` says what came of it.
#include <filesystem>
#include <string>

#include <gtest/gtest.h>
#include <sched.h>
#include <sys/mount.h>

#include <wso/base/json.hpp>
#include <wso/guest/netconfig.hpp>

#include "command.hpp"
#include "fixtures.hpp"
#include "scratch.hpp"

namespace wso::guest {
namespace {

namespace fs = std::filesystem;
using test::contents_of;
using test::output_of;

const std::string our_stanza =
    "auto card\n"
    "iface card inet static\n"
    "\taddress 192.168.100.229\n"
    "\tnetmask 255.255.255.0\n"
    "\tgateway 192.168.100.1\n"
    "\tdns-nameservers 8.8.8.8 8.8.4.4\n";
const std::string loopback =
    "auto lo\n"
    "iface lo inet loopback\n"
    "\n";

const std::string done = "netconfig: card has 192.168.100.229/24 and the gateway 192.168.100.1\n";

class OwnNamespaces : public testing::Environment {
 public:
  void SetUp() override {
    // /sys shows the interfaces of the namespace that it was mounted in.
    ASSERT_EQ(::unshare(CLONE_NEWNET | CLONE_NEWNS), 0) << "run as root";
    ASSERT_EQ(::mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr), 0);
    ASSERT_EQ(::mount("sysfs", "/sys", "sysfs", 0, nullptr), 0);
  }
};

const auto* const own_namespaces = testing::AddGlobalTestEnvironment(new OwnNamespaces);

// Every test runs in the two worlds that guests come from.
enum class Tools { debian, busybox };

class NetworkScriptRunTest : public testing::TestWithParam<Tools> {
 protected:
  NetworkScriptRunTest() {
    // A Debian-like awk is found through /etc/alternatives.
    output_of("cp -a /etc/alternatives " + (scratch_ / "alternatives").native());
    if (::mount(scratch_.root().c_str(), "/etc", nullptr, MS_BIND, nullptr) != 0)
      throw_errno("mount over /etc");
    output_of("busybox --install -s " + bin_.root().native());
  }
  ~NetworkScriptRunTest() override {
    ::umount2("/etc", MNT_DETACH);
    test::run("ip link del card");
  }

  void add_card() {
    output_of("ip link add card address " + config_.mac_address + " type veth peer name wire");
    output_of("ip link set wire up");
  }

  // As the guest would, or after shell code that replaces one of its commands.
  test::CommandResult run_script(const std::string& prelude = "") {
    const std::string script = scratch_.put("netconfig.sh", network_script(config_));
    const std::string bin = bin_.root();
    const std::string shell = GetParam() == Tools::busybox ? "PATH=" + bin + " " + bin + "/ash "
                                                           : "PATH=/usr/bin:/bin /bin/dash ";
    return test::run(shell + (prelude.empty() ? script : "-c '" + prelude + "; . " + script + "'"));
  }

  void expect_success() {
    const test::CommandResult result = run_script();
    EXPECT_EQ(result.status, 0);
    EXPECT_EQ(result.output, done);
  }

  void expect_failure(const std::string& last_line) {
    const test::CommandResult result = run_script();
    EXPECT_EQ(result.status, 1);
    EXPECT_TRUE(result.output.ends_with(last_line)) << result.output;
  }

  static void expect_network() {
    const Json card = Json::parse(output_of("ip -j -4 addr show dev card")).at(0);
    ASSERT_EQ(card.at("addr_info").size(), 1U) << card;
    EXPECT_EQ(card.at("addr_info").at(0).at("local"), "192.168.100.229");
    EXPECT_EQ(card.at("addr_info").at(0).at("prefixlen"), 24);
    EXPECT_EQ(card.at("operstate"), "UP");
    const Json routes = Json::parse(output_of("ip -j route show default"));
    ASSERT_EQ(routes.size(), 1U) << routes;
    EXPECT_EQ(routes.at(0).at("gateway"), "192.168.100.1");
    EXPECT_EQ(routes.at(0).at("dev"), "card");
  }

  test::Scratch scratch_;
  test::Scratch bin_;
  NetworkConfig config_ = test::sample_config();
};

TEST_P(NetworkScriptRunTest, SetsUpABareGuestAndChangesNothingTheSecondTime) {
  add_card();
  for (int i = 0; i < 2; ++i) {
    expect_success();
    expect_network();
    EXPECT_EQ(contents_of("/etc/network/interfaces"), loopback + our_stanza);
    EXPECT_EQ(contents_of("/etc/resolv.conf"), "nameserver 8.8.8.8\nnameserver 8.8.4.4\n");
  }
  EXPECT_EQ(output_of("ls /etc/network"), "interfaces\n") << "a temporary file is left";
}

TEST_P(NetworkScriptRunTest, KeepsWhatTheFileSaysOfOthers) {
  add_card();
  fs::create_directory("/etc/network");
  scratch_.put("network/interfaces",
               "# made by the installer\n"
               "source /etc/network/interfaces.d/*\n"
               "\n"
               "auto lo card\n"
               "iface lo inet loopback\n"
               "\n"
               "allow-hotplug card cardinal\n"
               "iface card inet dhcp\n"
               "\thostname old\n"
               "\t# ours too\n"
               "\n"
               "# the second card\n"
               "iface cardinal inet static\n"
               "\taddress 10.0.0.2/24\n"
               "\n"
               "\n"
               "iface card inet6 auto\n"
               "\tprivext 2\n"
               "iface card inet static\n"
               "\taddress 10.0.0.3\n"
               "mapping other\n"
               "\tscript /bin/true\n");
  for (int i = 0; i < 2; ++i) {
    expect_success();
    EXPECT_EQ(contents_of("/etc/network/interfaces"),
              "# made by the installer\n"
              "source /etc/network/interfaces.d/*\n"
              "\n"
              "auto lo\n"
              "iface lo inet loopback\n"
              "\n"
              "allow-hotplug cardinal\n"
              "\n"
              "# the second card\n"
              "iface cardinal inet static\n"
              "\taddress 10.0.0.2/24\n"
              "\n"
              "iface card inet6 auto\n"
              "\tprivext 2\n"
              "mapping other\n"
              "\tscript /bin/true\n"
              "\n" +
                  our_stanza);
  }
}

// What busybox ifup would run is what the script has run.
TEST_P(NetworkScriptRunTest, LeavesAFileThatIfupUnderstands) {
  add_card();
  expect_success();
  const std::string commands = output_of("busybox ifup -n -a -i /etc/network/interfaces");
  for (const auto* command : {"ip addr add 192.168.100.229/24 dev card", "ip link set card up",
                              "ip route add default via 192.168.100.1 dev card"})
    EXPECT_NE(commands.find(command), std::string::npos) << commands;
}

TEST_P(NetworkScriptRunTest, ReplacesAnEarlierNetwork) {
  add_card();
  output_of(
      "ip addr add 192.168.100.7/24 dev card; ip addr add 192.168.100.229/24 dev card;"
      "ip addr add 10.9.8.7/8 dev card; ip link set card up; ip route add default via 10.0.0.1");
  expect_success();
  expect_network();
}

TEST_P(NetworkScriptRunTest, MakesALinkedResolvConfAPlainFile) {
  add_card();
  const auto stub = scratch_.put("stub-resolv.conf", "nameserver 127.0.0.53\n");
  for (const auto* target : {"stub-resolv.conf", "../run/nothing/here"}) {
    fs::remove("/etc/resolv.conf");
    fs::create_symlink(target, "/etc/resolv.conf");
    expect_success();
    EXPECT_FALSE(fs::is_symlink("/etc/resolv.conf"));
    EXPECT_EQ(contents_of("/etc/resolv.conf"), "nameserver 8.8.8.8\nnameserver 8.8.4.4\n");
  }
  EXPECT_EQ(contents_of(stub), "nameserver 127.0.0.53\n");
}

TEST_P(NetworkScriptRunTest, LeavesResolvConfAloneWithoutDnsServers) {
  add_card();
  scratch_.put("resolv.conf", "nameserver 192.0.2.1\n");
  config_.dns_servers.clear();
  for (int i = 0; i < 2; ++i) {
    expect_success();
    EXPECT_EQ(contents_of("/etc/resolv.conf"), "nameserver 192.0.2.1\n");
    EXPECT_EQ(contents_of("/etc/network/interfaces").find("dns-nameservers"), std::string::npos);
  }
}

TEST_P(NetworkScriptRunTest, WaitsForAnInterfaceWhoseDriverIsLate) {
  const auto result = run_script("sleep() { /sbin/ip link add card address " + config_.mac_address +
                                 " type veth peer name wire; /sbin/ip link set wire up; }");
  EXPECT_EQ(result.status, 0);
  EXPECT_EQ(result.output, "netconfig: waiting for the interface 52:54:00:d2:5c:3f\n" + done);
  expect_network();
}

TEST_P(NetworkScriptRunTest, GivesUpWithoutTheInterface) {
  const auto result = run_script("sleep() { echo slept $1; }");
  EXPECT_EQ(result.status, 1);
  EXPECT_EQ(result.output,
            "netconfig: waiting for the interface 52:54:00:d2:5c:3f\n"
            "slept 1\nslept 1\nslept 1\nslept 1\nslept 1\n"
            "netconfig: no interface has the MAC address 52:54:00:d2:5c:3f\n");
  EXPECT_FALSE(fs::exists("/etc/network/interfaces"));
}

TEST_P(NetworkScriptRunTest, SaysWhatTheKernelRefused) {
  add_card();
  config_.ip_address = "300.1.1.1";
  expect_failure("netconfig: cannot give card the address 300.1.1.1/24\n");
  config_ = test::sample_config();
  config_.gateway = "192.0.2.1";
  expect_failure("netconfig: cannot route by way of the gateway 192.0.2.1\n");
  EXPECT_FALSE(fs::exists("/etc/network/interfaces"));
}

TEST_P(NetworkScriptRunTest, SaysWhichFileCannotBeWrittenAndLeavesItAsItWas) {
  add_card();
  scratch_.put("resolv.conf", "nameserver 192.0.2.1\n");
  fs::create_directory("/etc/resolv.conf.new");
  expect_failure("netconfig: cannot write /etc/resolv.conf\n");
  EXPECT_EQ(contents_of("/etc/resolv.conf"), "nameserver 192.0.2.1\n");
  fs::remove("/etc/resolv.conf.new");

  scratch_.put("network", "a file");
  expect_failure("netconfig: cannot make /etc/network\n");
  fs::remove("/etc/network");

  fs::create_directories("/etc/network/interfaces.new");
  scratch_.put("network/interfaces", "# mine\n");
  expect_failure("netconfig: cannot write /etc/network/interfaces\n");
  EXPECT_EQ(contents_of("/etc/network/interfaces"), "# mine\n");
}

INSTANTIATE_TEST_SUITE_P(Guests, NetworkScriptRunTest,
                         testing::Values(Tools::debian, Tools::busybox), [](const auto& world) {
                           return world.param == Tools::debian ? "debian" : "busybox";
                         });

}  // namespace
}  // namespace wso::guest
