// Which notifications of nf_tables tell that others change our table. Real ones are in tests/netns.
#include <gtest/gtest.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netlink.h>

#include <wso/nft/watch.hpp>

namespace wso::nft {
namespace {

constexpr std::uint32_t own_port = 42;

struct Change {
  int type = NFNL_SUBSYS_NFTABLES << 8 | NFT_MSG_DELRULE;
  unsigned char family = NFPROTO_INET;
  std::string table = std::string("wso\0", 4);
  std::uint32_t port = 7;
  int attribute = NFTA_RULE_TABLE;
};

std::string body_of(const Change& change) {
  nfgenmsg header{};
  header.nfgen_family = change.family;
  const nlattr attribute{static_cast<__u16>(sizeof(nlattr) + change.table.size()),
                         static_cast<__u16>(change.attribute)};
  std::string body(reinterpret_cast<const char*>(&header), sizeof header);
  body.append(reinterpret_cast<const char*>(&attribute), sizeof attribute);
  return body + change.table;
}

bool seen(const Change& change) {
  const std::string body = body_of(change);
  return is_change_by_others({change.type, 0, change.port, body}, own_port);
}

TEST(FirewallWatch, AnyChangeOfOurTableByOthersCounts) {
  for (int message = NFT_MSG_NEWTABLE; message < NFT_MSG_MAX; ++message)
    EXPECT_TRUE(seen({.type = NFNL_SUBSYS_NFTABLES << 8 | message})) << message;
  EXPECT_TRUE(seen({.port = 0}));  // the kernel itself, when an owner of tables ends
}

TEST(FirewallWatch, WhatWeDoAndWhatOthersDoElsewhereDoesNot) {
  EXPECT_FALSE(seen({.port = own_port}));
  EXPECT_FALSE(seen({.type = NFNL_SUBSYS_CTNETLINK << 8 | NFT_MSG_DELRULE}));
  EXPECT_FALSE(seen({.type = NFT_MSG_DELRULE}));
  for (const unsigned char family : {NFPROTO_IPV4, NFPROTO_IPV6, NFPROTO_BRIDGE, NFPROTO_UNSPEC})
    EXPECT_FALSE(seen({.family = family})) << int{family};
  for (const auto& table :
       {std::string("wso"), std::string("wso-guard\0", 10), std::string(), std::string("wso2\0", 5),
        std::string("ws\0", 3), std::string("wso\0\0", 5)})
    EXPECT_FALSE(seen({.table = table})) << table;
  EXPECT_FALSE(seen({.attribute = NFTA_RULE_CHAIN}));
}

TEST(FirewallWatch, WhatIsCutShortDoesNot) {
  const std::string body = body_of({});
  for (std::size_t size = 0; size < body.size(); ++size) {
    const std::vector<char> cut(body.begin(), body.begin() + static_cast<long>(size));
    EXPECT_FALSE(is_change_by_others({Change().type, 0, 7, {cut.data(), cut.size()}}, own_port))
        << size;
  }
}

}  // namespace
}  // namespace wso::nft
