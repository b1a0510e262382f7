#include <utility>

#include <arpa/inet.h>
#include <linux/if_addr.h>
#include <linux/if_link.h>
#include <linux/neighbour.h>
#include <linux/netconf.h>
#include <linux/rtnetlink.h>
#include <net/if.h>

#include <wso/net/watch.hpp>

namespace wso::net {
namespace {

template <typename Header>
int number_in(const NetlinkMessage& message, int attribute) {
  const auto found = find_attribute(message, sizeof(Header), attribute);
  return found ? value_in<int>(*found).value_or(0) : 0;
}

std::string text_in(const NetlinkMessage& message, int attribute) {
  const auto found = find_attribute(message, sizeof(ifinfomsg), attribute);
  return std::string(found ? found->substr(0, found->find('\0')) : "");
}

// The index of the link that an IPv4 address, route or neighbour was removed from; 0 for all else.
int loser_of(const NetlinkMessage& message) {
  if (message.type == RTM_DELADDR) {
    const auto header = value_in<ifaddrmsg>(message.body);
    return header && header->ifa_family == AF_INET ? static_cast<int>(header->ifa_index) : 0;
  }
  if (message.type == RTM_DELNEIGH) {
    const auto header = value_in<ndmsg>(message.body);
    return header && header->ndm_family == AF_INET ? header->ndm_ifindex : 0;
  }
  if (message.type == RTM_DELROUTE) {
    const auto header = value_in<rtmsg>(message.body);
    return header && header->rtm_family == AF_INET ? number_in<rtmsg>(message, RTA_OIF) : 0;
  }
  return 0;
}

// The link that was forbidden to forward IPv4 packets, or NETCONFA_IFINDEX_ALL; 0 for all else.
int stopped_forwarding(const NetlinkMessage& message) {
  if (message.type != RTM_NEWNETCONF) return 0;
  const auto header = value_in<netconfmsg>(message.body);
  const auto forwarding = find_attribute(message, sizeof(netconfmsg), NETCONFA_FORWARDING);
  const bool stopped =
      header && header->ncm_family == AF_INET && forwarding && value_in<int>(*forwarding) == 0;
  return stopped ? number_in<netconfmsg>(message, NETCONFA_IFINDEX) : 0;
}

// The host whose route was replaced in place, of which no removal tells.
std::optional<Ipv4Address> rerouted_host(const NetlinkMessage& message) {
  if (message.type != RTM_NEWROUTE || (message.flags & NLM_F_REPLACE) == 0) return std::nullopt;
  const auto header = value_in<rtmsg>(message.body);
  const auto destination = find_attribute(message, sizeof(rtmsg), RTA_DST);
  const auto address = destination ? value_in<std::uint32_t>(*destination) : std::nullopt;
  if (!header || header->rtm_family != AF_INET || header->rtm_dst_len != 32 || !address)
    return std::nullopt;
  return Ipv4Address{ntohl(*address)};
}

}  // namespace

void OwnLinks::learn(const std::vector<Link>& links) {
  links_.clear();
  for (const Link& link : links) {
    const std::string mac(link.mac.bytes.begin(), link.mac.bytes.end());
    links_[link.index] = {link.name, mac, link.master, link.up};
  }
}

void OwnLinks::follow(const NetlinkMessage& message, Damage& damage) {
  if (message.type == RTM_NEWLINK || message.type == RTM_DELLINK)
    follow_link(message, damage);
  else if (const auto loser = links_.find(loser_of(message)); loser != links_.end())
    damage.links.insert(loser->second.name);
  else if (const auto host = rerouted_host(message);
           host && !links_.contains(number_in<rtmsg>(message, RTA_OIF)))
    damage.rerouted.insert(*host);
  else if (const int stopped = stopped_forwarding(message); stopped == NETCONFA_IFINDEX_ALL)
    damage.forwarding = true;
  else if (const auto link = links_.find(stopped); link != links_.end())
    damage.links.insert(link->second.name);
}

void OwnLinks::follow_link(const NetlinkMessage& message, Damage& damage) {
  const auto header = value_in<ifinfomsg>(message.body);
  // A bridge tells of its ports in the same group of notifications, as AF_BRIDGE: the carrier, the
  // spanning tree, and a "DELLINK" when a port leaves, which the link itself tells of, too.
  if (!header || header->ifi_family != AF_UNSPEC) return;
  const auto group = static_cast<std::uint32_t>(number_in<ifinfomsg>(message, IFLA_GROUP));
  if (group == dying_link_group) {
    links_.erase(header->ifi_index);
    // Its tap will be put out of it.
    for (auto& [index, link] : links_)
      if (link.master == header->ifi_index) link.master = 0;
    return;
  }
  if (message.type == RTM_DELLINK || group != link_group) {
    lose(header->ifi_index, damage);
    return;
  }
  // A bridge that is not ours, or is about to be deleted, is as good as none.
  const int master = number_in<ifinfomsg>(message, IFLA_MASTER);
  const State now{text_in(message, IFLA_IFNAME),
                  std::string(find_attribute(message, sizeof *header, IFLA_ADDRESS).value_or("")),
                  links_.contains(master) ? master : 0, (header->ifi_flags & IFF_UP) != 0};
  const auto [known, is_new] = links_.try_emplace(header->ifi_index, now);
  if (is_new) return;
  const State& before = known->second;
  if (before.name != now.name || before.mac != now.mac || (before.up && !now.up) ||
      (before.master != 0 && before.master != now.master))
    damage.links.insert(before.name);
  known->second = now;
}

void OwnLinks::lose(int index, Damage& damage) {
  const auto known = links_.find(index);
  if (known == links_.end()) return;
  damage.links.insert(known->second.name);
  links_.erase(known);
}

Watch::Watch()
    : listener_(NETLINK_ROUTE, {RTNLGRP_LINK, RTNLGRP_IPV4_IFADDR, RTNLGRP_IPV4_ROUTE,
                                RTNLGRP_NEIGH, RTNLGRP_IPV4_NETCONF}),
      socket_(open_route_socket()) {
  links_.learn(list_links(socket_.get(), link_group));
}

Damage Watch::read() {
  Damage damage;
  // Until all of this has succeeded.
  const bool missed = std::exchange(missed_, true);
  const bool complete =
      listener_.read([&](const NetlinkMessage& message) { links_.follow(message, damage); });
  damage.overrun = missed || !complete;
  if (damage.overrun) links_.learn(list_links(socket_.get(), link_group));
  missed_ = false;
  return damage;
}

}  // namespace wso::net
