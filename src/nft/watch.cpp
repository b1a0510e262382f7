#include <utility>

#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netlink.h>

#include <wso/nft/watch.hpp>

namespace wso::nft {

bool is_change_by_others(const NetlinkMessage& message, std::uint32_t own_port) {
  constexpr std::string_view own_table("wso\0", 4);
  // Chains, rules, sets, elements and all other objects name their table in the attribute with the
  // same number as that of the table's own name.
  static_assert(NFTA_TABLE_NAME == 1 && NFTA_CHAIN_TABLE == 1 && NFTA_RULE_TABLE == 1 &&
                NFTA_SET_TABLE == 1 && NFTA_SET_ELEM_LIST_TABLE == 1 && NFTA_OBJ_TABLE == 1 &&
                NFTA_FLOWTABLE_TABLE == 1);
  const auto header = value_in<nfgenmsg>(message.body);
  // The port, and not the process that NFT_MSG_NEWGEN names: that is its number in the first PID
  // namespace, which a daemon in a container does not know.
  return header && NFNL_SUBSYS_ID(message.type) == NFNL_SUBSYS_NFTABLES &&
         header->nfgen_family == NFPROTO_INET && message.port != own_port &&
         find_attribute(message, sizeof *header, NFTA_TABLE_NAME) == own_table;
}

Watch::Watch(const Firewall& own)
    : listener_(NETLINK_NETFILTER, {NFNLGRP_NFTABLES}), own_port_(own.port()) {}

bool Watch::read() {
  bool changed = std::exchange(missed_, true);
  const bool complete = listener_.read([&](const NetlinkMessage& message) {
    changed = changed || is_change_by_others(message, own_port_);
  });
  missed_ = false;
  return changed || !complete;
}

}  // namespace wso::nft
