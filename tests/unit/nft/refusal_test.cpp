// What people read when nft fails. The texts are libnftables' own.
#include <gtest/gtest.h>

#include <wso/nft/firewall.hpp>

namespace wso::nft {
namespace {

TEST(RefusalTest, KeepsTheFirstReasonOnly) {
  const Error error = refusal(
      "Error: Could not process rule: Device or resource busy\ndelete chain inet wso forward\n"
      "                       ^^^^^^^\nError: Could not process rule: File exists\n");
  EXPECT_EQ(error.code(), Errc::kernel);
  EXPECT_STREQ(error.what(), "firewall: Could not process rule: Device or resource busy");
}

TEST(RefusalTest, AMissingElementIsNotFound) {
  EXPECT_EQ(
      refusal("Error: Could not process rule: No such file or directory\ndelete element").code(),
      Errc::not_found);
  EXPECT_EQ(refusal("Error: No such file or directory; did you mean set 'x'?\n").code(),
            Errc::not_found);
}

TEST(RefusalTest, WithoutPrivilegeItSaysWhoMay) {
  const Error error =
      refusal("netlink: Error: cache initialization failed: Operation not permitted\n");
  EXPECT_EQ(error.code(), Errc::permission);
  EXPECT_STREQ(error.what(),
               "firewall: cache initialization failed: Operation not permitted: run as root "
               "(CAP_NET_ADMIN)");
}

TEST(RefusalTest, AKernelWithoutNfTablesIsNamed) {
  for (const auto* printed : {"Protocol not supported",
                              "Error: Could not process rule: Operation not supported\nadd table",
                              "netlink: Error: cache initialization failed: Invalid argument\n"}) {
    const Error error = refusal(printed);
    EXPECT_EQ(error.code(), Errc::kernel);
    EXPECT_NE(std::string_view(error.what()).find("load the module nf_tables"),
              std::string_view::npos)
        << error.what();
  }
}

TEST(RefusalTest, NothingPrintedIsStillASentence) {
  EXPECT_STREQ(refusal("").what(), "firewall: nft gives no reason");
  EXPECT_STREQ(refusal("Error: \n").what(), "firewall: nft gives no reason");
}

}  // namespace
}  // namespace wso::nft
