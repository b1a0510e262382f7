// Names that go to the kernel as a path or as a fixed field are checked before it sees them.
#include <gtest/gtest.h>

#include <wso/base/error.hpp>
#include <wso/net/sysctl.hpp>
#include <wso/net/tap.hpp>

namespace wso::net {
namespace {

using std::string_literals::operator""s;

template <typename Call>
Errc code_of(Call call) {
  try {
    call();
  } catch (const Error& error) {
    return error.code();
  }
  ADD_FAILURE() << "no error";
  return Errc::internal;
}

TEST(SysctlTest, ReadsWithoutTheLineBreak) {
  EXPECT_TRUE(sysctl("ipv4/ip_forward") == "0" || sysctl("ipv4/ip_forward") == "1");
}

TEST(SysctlTest, AKeyStaysBelowItsDirectory) {
  for (const auto& key :
       {""s, "/"s, "/ipv4/ip_forward"s, "ipv4/"s, "ipv4//ip_forward"s, ".."s, "../kernel/hostname"s,
        "ipv4/../../kernel/hostname"s, "ipv4/.."s, "./ipv4/ip_forward"s, "ipv4/ip_forward\0x"s}) {
    EXPECT_EQ(code_of([&] { sysctl(key); }), Errc::invalid_argument) << key;
    EXPECT_EQ(code_of([&] { set_sysctl(key, "1"); }), Errc::invalid_argument) << key;
  }
}

TEST(SysctlTest, AnAbsentKeyIsNotFoundEvenIfItsNameHasDots) {
  EXPECT_EQ(code_of([] { sysctl("ipv6/conf/virbr../disable_ipv6"); }), Errc::not_found);
  EXPECT_EQ(code_of([] { set_sysctl("ipv4/no_such_setting", "1"); }), Errc::not_found);
}

TEST(TapTest, ANameThatTheKernelWouldReadAsAnotherIsRefused) {
  for (const auto& name :
       {""s, "vnet%d"s, "%"s, "vnet\0x"s, "vnet1234567890ab"s, std::string(300, 'v')})
    EXPECT_EQ(code_of([&] { open_tap(name); }), Errc::invalid_argument) << name;
}

}  // namespace
}  // namespace wso::net
