// The table as the kernel has it: whole replacement, elements, and what a failure says.
#include <filesystem>

#include <fcntl.h>
#include <linux/netlink.h>
#include <malloc.h>
#include <sys/socket.h>
#include <unistd.h>

#include <wso/nft/firewall.hpp>

#include "witness.hpp"

namespace wso::nft {
namespace {

using test::run;
using test::run_json;

const Guest web{"virbrweb", "52:54:00:12:34:56", "192.168.100.7", true};
const Guest shut{"virbr3332a2", "52:54:00:ab:cd:ef", "192.168.100.229", false};
constexpr auto subnet = "192.168.100.0/24";

class FirewallTest : public test::NetnsTest {
 protected:
  void TearDown() override { firewall.remove_table(); }

  // The elements of a set in nft's JSON; null if it has none.
  static Json elements(const std::string& set) {
    const Json listing = run_json("nft -j list set inet wso " + set);
    return listing.at("nftables").at(1).at("set").value("elem", Json());
  }
  static Json concatenation(const Guest& guest) {
    return {{"concat", {guest.bridge_name, guest.mac_address, guest.ip_address}}};
  }

  template <typename Call>
  static Error error_of(Call call) {
    try {
      call();
    } catch (const Error& error) {
      return error;
    }
    return {Errc::internal, "no error"};
  }

  Firewall firewall;
};

TEST_F(FirewallTest, TheTableHoldsSubnetAndGuests) {
  firewall.replace_table(subnet, {web, shut});
  EXPECT_EQ(elements("subnets"),
            Json::array({{{"prefix", {{"addr", "192.168.100.0"}, {"len", 24}}}}}));
  EXPECT_EQ(elements("bridges").size(), 2U);
  EXPECT_EQ(elements("guests").size(), 2U);
  EXPECT_EQ(elements("closed"), Json::array({shut.bridge_name}));
  EXPECT_EQ(parse_json(firewall.list_json()), run_json("nft -j list table inet wso"));
}

TEST_F(FirewallTest, ReplacementLeavesNoOldGuestAndNoForeignTableTouched) {
  run("nft 'add table inet other; add set inet other s { type ifname; elements = { virbrweb } }'");
  const std::string other = run("nft -a list table inet other");
  firewall.replace_table(subnet, {web});
  firewall.replace_table("10.7.0.0/16", {shut});
  firewall.replace_table("10.7.0.0/16", {shut});
  EXPECT_EQ(elements("guests"), Json::array({concatenation(shut)}));
  EXPECT_EQ(elements("subnets").at(0).at("prefix").at("addr"), "10.7.0.0");
  EXPECT_EQ(run("nft -a list table inet other"), other);
  run("nft delete table inet other");
}

TEST_F(FirewallTest, AGuestComesAndGoesWhole) {
  firewall.replace_table(subnet, {web});
  const Json before = run_json("nft -j list table inet wso");
  firewall.add_guest(shut);
  EXPECT_EQ(elements("bridges").size(), 2U);
  EXPECT_EQ(elements("guests").size(), 2U);
  EXPECT_EQ(elements("closed"), Json::array({shut.bridge_name}));
  firewall.add_guest(shut);  // twice is once
  EXPECT_TRUE(firewall.remove_guest(shut));
  EXPECT_EQ(run_json("nft -j list table inet wso"), before);
  EXPECT_FALSE(firewall.remove_guest(shut));
  EXPECT_EQ(run_json("nft -j list table inet wso"), before);
}

TEST_F(FirewallTest, WhatIsLeftOfAGuestIsRemoved) {
  firewall.replace_table(subnet, {});
  const Json before = run_json("nft -j list table inet wso");
  for (const auto* set : {"bridges", "closed"}) {
    run(std::string("nft add element inet wso ") + set + " { " + shut.bridge_name + " }");
    EXPECT_FALSE(firewall.remove_guest(shut)) << set;
    EXPECT_EQ(run_json("nft -j list table inet wso"), before) << set;
  }
  // Closed when it was added, open by a new configuration since.
  Guest opened = shut;
  opened.may_use_host = true;
  firewall.add_guest(shut);
  run("nft delete element inet wso bridges { " + shut.bridge_name + " }");
  EXPECT_FALSE(firewall.remove_guest(opened));
  EXPECT_EQ(run_json("nft -j list table inet wso"), before);
}

TEST_F(FirewallTest, WithoutTheTableNothingIsThere) {
  EXPECT_FALSE(firewall.remove_table());
  EXPECT_FALSE(firewall.remove_guest(web));
  EXPECT_EQ(error_of([&] { firewall.add_guest(web); }).code(), Errc::not_found);
  EXPECT_EQ(error_of([&] { firewall.list_json(); }).code(), Errc::not_found);
  firewall.replace_table(subnet, {});
  EXPECT_TRUE(firewall.remove_table());
}

TEST_F(FirewallTest, AFailedTransactionChangesNothing) {
  firewall.replace_table(subnet, {web});
  run("nft 'add chain inet wso mine { type filter hook output priority 0; }; add table inet "
      "other'");
  const std::string before = run("nft -a list ruleset");
  EXPECT_EQ(error_of([&] { firewall.replace_table("300.0.0.0/8", {}); }).code(),
            Errc::invalid_argument);
  EXPECT_EQ(run("nft -a list ruleset"), before);
  run("nft delete table inet other");
}

TEST_F(FirewallTest, ChangesByOthersAreSeen) {
  firewall.replace_table(subnet, {web});
  run("nft flush ruleset");
  EXPECT_FALSE(firewall.remove_guest(web));
  Firewall another;
  another.replace_table(subnet, {});
  firewall.add_guest(web);
  EXPECT_TRUE(another.remove_guest(web));
  EXPECT_FALSE(firewall.remove_guest(web));
}

TEST_F(FirewallTest, WithoutPrivilegeItSaysSo) {
  ASSERT_EQ(::seteuid(65534), 0);
  const Error error = error_of([&] { firewall.replace_table(subnet, {}); });
  ASSERT_EQ(::seteuid(0), 0);
  EXPECT_EQ(error.code(), Errc::permission);
  EXPECT_NE(std::string(error.what()).find("run as root"), std::string::npos) << error.what();
}

TEST_F(FirewallTest, ItsSocketIsNotInherited) {
  for (const auto& entry : std::filesystem::directory_iterator("/proc/self/fd")) {
    const int fd = std::stoi(entry.path().filename());
    int protocol = -1;
    socklen_t size = sizeof protocol;
    ::getsockopt(fd, SOL_SOCKET, SO_PROTOCOL, &protocol, &size);
    if (protocol == NETLINK_NETFILTER) {
      EXPECT_EQ(::fcntl(fd, F_GETFD), FD_CLOEXEC) << fd;
    }
  }
}

TEST_F(FirewallTest, MemoryAndDescriptorsDoNotGrow) {
  const auto open_fds = [] {
    return std::distance(std::filesystem::directory_iterator("/proc/self/fd"), {});
  };
  firewall.replace_table(subnet, {web});
  const auto cycle = [&](int count) {
    for (int i = 0; i < count; ++i) {
      firewall.add_guest(shut);
      firewall.remove_guest(shut);
    }
  };
  cycle(100);
  const auto fds = open_fds();
  const std::size_t used = ::mallinfo2().uordblks;
  cycle(2000);
  EXPECT_EQ(open_fds(), fds);
  EXPECT_LE(::mallinfo2().uordblks, used + 65536);  // a leak of 33 bytes a cycle
}

}  // namespace
}  // namespace wso::nft
