#include <string>
#include <utility>

#include <gtest/gtest.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <poll.h>
#include <sys/socket.h>

#include <wso/base/netlink_listener.hpp>

namespace wso {
namespace {

template <typename T>
std::string bytes_of(const T& value) {
  return {reinterpret_cast<const char*>(&value), sizeof value};
}

std::string padded(std::string text) {
  text.resize((text.size() + 3) & ~std::size_t{3});
  return text;
}

std::string attribute(int type, const std::string& contents) {
  const nlattr header{static_cast<__u16>(sizeof(nlattr) + contents.size()),
                      static_cast<__u16>(type)};
  return padded(bytes_of(header) + contents);
}

std::string message(int type, std::uint32_t port, const std::string& body) {
  nlmsghdr header{};
  header.nlmsg_len = static_cast<__u32>(sizeof header + body.size());
  header.nlmsg_type = static_cast<__u16>(type);
  header.nlmsg_pid = port;
  return padded(bytes_of(header) + body);
}

std::vector<std::pair<int, std::string>> messages_in(std::string_view datagram) {
  std::vector<std::pair<int, std::string>> all;
  for_each_message(datagram, [&](const NetlinkMessage& one) {
    all.emplace_back(one.type, std::string(one.body));
  });
  return all;
}

TEST(NetlinkMessages, AreTakenApart) {
  const auto all =
      messages_in(message(16, 7, "four") + message(17, 0, "sixsix") + message(18, 0, ""));
  ASSERT_EQ(all.size(), 3U);
  EXPECT_EQ(all[0], (std::pair<int, std::string>(16, "four")));
  EXPECT_EQ(all[1], (std::pair<int, std::string>(17, "sixsix")));
  EXPECT_EQ(all[2], (std::pair<int, std::string>(18, "")));
  for_each_message(message(16, 7, ""), [](const NetlinkMessage& one) { EXPECT_EQ(one.port, 7U); });
}

TEST(NetlinkMessages, WhatIsCutShortIsNotVisited) {
  const std::string whole = message(16, 0, "first") + message(17, 0, "second!!");
  for (std::size_t size = 0; size < whole.size(); ++size) {
    // On the heap, so that a sanitizer sees a byte read too far.
    const std::vector<char> cut(whole.begin(), whole.begin() + static_cast<long>(size));
    const std::size_t expected = size < 21 ? 0 : 1;  // 16 of the header, and "first"
    EXPECT_EQ(messages_in({cut.data(), cut.size()}).size(), expected) << size;
  }
}

TEST(NetlinkMessages, ALengthThatIsALieEndsTheReading) {
  for (const std::uint32_t length : {0U, 1U, 15U, 41U, 0x7fffffffU, 0xfffffffeU, 0xffffffffU}) {
    std::string lie = message(16, 0, "abcd") + message(17, 0, "efgh");
    lie.replace(0, 4, bytes_of(length));
    EXPECT_TRUE(messages_in(lie).empty()) << length;
  }
}

NetlinkMessage with_body(std::string_view body) { return {16, 0, 0, body}; }

TEST(NetlinkAttributes, AreFoundBehindTheHeader) {
  const std::string body = "HEAD" + attribute(1, "one") + attribute(2 | NLA_F_NESTED, "") +
                           attribute(3, "three") + attribute(3, "again");
  EXPECT_EQ(find_attribute(with_body(body), 4, 1), "one");
  EXPECT_EQ(find_attribute(with_body(body), 3, 1), "one");  // the header is padded
  EXPECT_EQ(find_attribute(with_body(body), 4, 2), "");
  EXPECT_EQ(find_attribute(with_body(body), 4, 3), "three");
  EXPECT_EQ(find_attribute(with_body(body), 4, 4), std::nullopt);
}

TEST(NetlinkAttributes, WhatIsCutShortIsNotFound) {
  const std::string whole = "HEAD" + attribute(1, "one") + attribute(2, "twotwo");
  const std::size_t end_of_first = 4 + 4 + 3;
  const std::size_t end_of_second = 4 + 8 + 4 + 6;
  for (std::size_t size = 0; size <= whole.size(); ++size) {
    const std::vector<char> cut(whole.begin(), whole.begin() + static_cast<long>(size));
    const NetlinkMessage message = with_body({cut.data(), cut.size()});
    EXPECT_EQ(find_attribute(message, 4, 1).has_value(), size >= end_of_first) << size;
    EXPECT_EQ(find_attribute(message, 4, 2).has_value(), size >= end_of_second) << size;
    EXPECT_EQ(find_attribute(message, 4, 3), std::nullopt) << size;
  }
}

TEST(NetlinkAttributes, ALengthThatIsALieEndsTheReading) {
  for (const std::uint16_t length : {0, 1, 3, 100, 0xfffe, 0xffff}) {
    std::string body = attribute(1, "one") + attribute(2, "two");
    body.replace(0, 2, bytes_of(length));
    EXPECT_EQ(find_attribute(with_body(body), 0, 1), std::nullopt) << length;
    EXPECT_EQ(find_attribute(with_body(body), 0, 2), std::nullopt) << length;
  }
}

TEST(NetlinkAttributes, AValueNeedsAllItsBytes) {
  EXPECT_EQ(value_in<std::uint32_t>("abc"), std::nullopt);
  EXPECT_EQ(value_in<std::uint16_t>(std::string_view("\1\0\2", 3)), 1);
  EXPECT_EQ(value_in<std::uint8_t>(""), std::nullopt);
}

TEST(NetlinkListener, HearsTheKernelAloneAndDoesNotWait) {
  NetlinkListener listener(NETLINK_USERSOCK, {1});
  int heard = 0;
  const auto count = [&](const NetlinkMessage&) { ++heard; };
  EXPECT_TRUE(listener.read(count));
  sockaddr_nl address{};
  address.nl_family = AF_NETLINK;
  address.nl_groups = 1;
  const UniqueFd other(::socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_USERSOCK));
  const std::string forged = message(RTM_DELLINK, 0, "forged");
  // Fails, as nobody is there at port 0, the kernel's, after the group has got it.
  ::sendto(other.get(), forged.data(), forged.size(), 0, reinterpret_cast<sockaddr*>(&address),
           sizeof address);
  pollfd polled{listener.fd(), POLLIN, 0};
  ASSERT_EQ(::poll(&polled, 1, 2000), 1);
  EXPECT_TRUE(listener.read(count));
  EXPECT_EQ(heard, 0);
  EXPECT_EQ(::poll(&polled, 1, 0), 0);
}

}  // namespace
}  // namespace wso
