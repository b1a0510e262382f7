// A tap is its file descriptor, and never one that somebody else made.
#include <fcntl.h>

#include <wso/base/error.hpp>
#include <wso/net/link.hpp>
#include <wso/net/tap.hpp>

#include "witness.hpp"

namespace wso::net {
namespace {

using test::run;
using test::run_json;

class TapTest : public test::NetnsTest {
 protected:
  void expect_taken(const std::string& name) {
    const std::string before = run("ip -j link show " + name);
    try {
      open_tap(name);
      ADD_FAILURE() << "took " << name;
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), Errc::already_exists);
      EXPECT_NE(std::string(error.what()).find(name), std::string::npos) << error.what();
    }
    EXPECT_EQ(run("ip -j link show " + name), before);
  }

  NlSocket socket_ = open_route_socket();
};

TEST_F(TapTest, LivesAsLongAsACopyOfItsDescriptor) {
  UniqueFd tap = open_tap("vnet1");
  EXPECT_NE(::fcntl(tap.get(), F_GETFD) & FD_CLOEXEC, 0);
  const Link link = find_link(socket_.get(), "vnet1").value();
  EXPECT_EQ(link.kind, "tun");
  EXPECT_FALSE(link.up);
  EXPECT_EQ(link.group, 0U);
  const Json shown = run_json("ip -j -d link show vnet1").at(0).at("linkinfo").at("info_data");
  EXPECT_EQ(shown.at("type"), "tap");
  EXPECT_EQ(shown.at("pi"), false);
  EXPECT_EQ(shown.at("vnet_hdr"), true);
  EXPECT_EQ(shown.at("persist"), false);
  EXPECT_EQ(shown.at("multi_queue"), false);

  UniqueFd copy(::fcntl(tap.get(), F_DUPFD_CLOEXEC, 0));
  tap.reset();
  EXPECT_TRUE(find_link(socket_.get(), "vnet1"));
  copy.reset();
  EXPECT_EQ(find_link(socket_.get(), "vnet1"), std::nullopt);
}

TEST_F(TapTest, ALinkOfThatNameIsNeverTaken) {
  run("ip link add vnet1 type veth peer name other");
  expect_taken("vnet1");
  run("ip link delete vnet1");
}

TEST_F(TapTest, APersistentTapThatIsFreeIsNeverTaken) {
  run("ip tuntap add dev vnet1 mode tap vnet_hdr");
  expect_taken("vnet1");
  run("ip tuntap delete dev vnet1 mode tap");
}

TEST_F(TapTest, ATapInUseIsNeverTaken) {
  const UniqueFd tap = open_tap("vnet1");
  expect_taken("vnet1");
}

TEST_F(TapTest, AFailureLeavesNoDescriptor) {
  const UniqueFd tap = open_tap("vnet1");
  const int lowest = ::fcntl(0, F_DUPFD_CLOEXEC, 0);
  ::close(lowest);
  expect_taken("vnet1");
  const int lowest_after = ::fcntl(0, F_DUPFD_CLOEXEC, 0);
  ::close(lowest_after);
  EXPECT_EQ(lowest, lowest_after);
}

}  // namespace
}  // namespace wso::net
