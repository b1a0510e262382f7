// Is a subnet free on this host? Addresses and routes are read as they stream in, and only those
// that overlap are kept, as a host can have a full BGP table.
#include <algorithm>
#include <set>

#include <arpa/inet.h>
#include <linux/if_addr.h>
#include <linux/if_link.h>
#include <linux/rtnetlink.h>

#include <wso/net/link.hpp>
#include <wso/net/route.hpp>

#include "nl.hpp"

namespace wso::net {
namespace {

struct Found {
  Ipv4Subnet subnet;
  int link = 0;             // 0: a route without one, such as a blackhole
  std::uint32_t table = 0;  // 0: an address
};

Ipv4Address address_in(nlattr* attribute) {
  return {attribute != nullptr ? ntohl(nla_get_u32(attribute)) : 0};
}

Ipv4Subnet subnet_of(Ipv4Address address, int prefix_length) {
  const std::uint32_t host_bits = prefix_length == 0 ? ~0U : (1ULL << (32 - prefix_length)) - 1;
  return {{address.value & ~host_bits}, prefix_length};
}

std::optional<Found> overlapping_address(nlmsghdr* header, const Ipv4Subnet& subnet) {
  Attributes<IFA_MAX> attributes{};
  check(nlmsg_parse(header, sizeof(ifaddrmsg), attributes.data(), IFA_MAX, nullptr),
        "read an address");
  const auto* fixed = static_cast<const ifaddrmsg*>(nlmsg_data(header));
  const int link = static_cast<int>(fixed->ifa_index);
  // On a point-to-point link IFA_ADDRESS is the peer's, and the prefix length is the peer's too.
  const Ipv4Address local = address_in(attributes[IFA_LOCAL]);
  const Ipv4Subnet peers = subnet_of(address_in(attributes[IFA_ADDRESS]), fixed->ifa_prefixlen);
  if (peers.overlaps(subnet)) return Found{peers, link, 0};
  if (subnet.contains(local)) return Found{{local, 32}, link, 0};
  return std::nullopt;
}

// The outgoing link, or the first of a multipath route: we make no such route, so it is not ours.
int link_of(const Attributes<RTA_MAX>& attributes) {
  if (nlattr* link = attributes[RTA_OIF]; link != nullptr)
    return static_cast<int>(nla_get_u32(link));
  nlattr* hops = attributes[RTA_MULTIPATH];
  if (hops == nullptr || nla_len(hops) < static_cast<int>(sizeof(rtnexthop))) return 0;
  return static_cast<const rtnexthop*>(nla_data(hops))->rtnh_ifindex;
}

std::optional<Found> overlapping_route(nlmsghdr* header, const Ipv4Subnet& subnet) {
  Attributes<RTA_MAX> attributes{};
  check(nlmsg_parse(header, sizeof(rtmsg), attributes.data(), RTA_MAX, nullptr), "read a route");
  const auto* fixed = static_cast<const rtmsg*>(nlmsg_data(header));
  nlattr* wide_table = attributes[RTA_TABLE];
  const std::uint32_t table = wide_table != nullptr ? nla_get_u32(wide_table) : fixed->rtm_table;
  // A prefix length of 1 is half a default route, as VPNs write it (0.0.0.0/1 and 128.0.0.0/1);
  // a cloned route is what the kernel remembers about a path, such as its MTU.
  if (fixed->rtm_dst_len <= 1 || (fixed->rtm_flags & RTM_F_CLONED) != 0) return std::nullopt;
  const Ipv4Subnet destination = subnet_of(address_in(attributes[RTA_DST]), fixed->rtm_dst_len);
  if (!destination.overlaps(subnet)) return std::nullopt;
  return Found{destination, link_of(attributes), table};
}

// Links that a crash left about to be deleted are ours as well.
std::set<int> own_links(nl_sock* socket, std::uint32_t own_group) {
  const auto parse = [own_group](nlmsghdr* header) -> std::optional<int> {
    Attributes<IFLA_MAX> attributes{};
    check(nlmsg_parse(header, sizeof(ifinfomsg), attributes.data(), IFLA_MAX, nullptr),
          "read a link");
    nlattr* attribute = attributes[IFLA_GROUP];
    const std::uint32_t group = attribute != nullptr ? nla_get_u32(attribute) : 0;
    if (group != own_group && group != dying_link_group) return std::nullopt;
    return static_cast<const ifinfomsg*>(nlmsg_data(header))->ifi_index;
  };
  const auto found = dump<int>(socket, RTM_GETLINK, ifinfomsg{}, "list the links", parse);
  return {found.begin(), found.end()};
}

std::string table_name(std::uint32_t table) {
  if (table == RT_TABLE_MAIN) return "main";
  if (table == RT_TABLE_DEFAULT) return "default";
  if (table == RT_TABLE_LOCAL) return "local";
  return std::to_string(table);
}

std::string sentence(nl_sock* socket, const Ipv4Subnet& subnet, const Found& found) {
  const std::string link = found.link == 0 ? "" : " dev " + name_of(socket, found.link);
  const std::string kind =
      found.table == 0 ? "address" : fmt::format("route, table {}", table_name(found.table));
  return fmt::format("subnet {} overlaps {}{} ({}): choose another subnet in the configuration",
                     to_string(subnet), to_string(found.subnet), link, kind);
}

}  // namespace

std::optional<std::string> find_overlap(nl_sock* socket, const Ipv4Subnet& subnet,
                                        std::uint32_t own_group) {
  const std::set<int> own = own_links(socket, own_group);
  const auto first_foreign = [&](const std::vector<Found>& all) -> std::optional<std::string> {
    const auto found = std::find_if(all.begin(), all.end(),
                                    [&](const Found& one) { return !own.contains(one.link); });
    if (found == all.end()) return std::nullopt;
    return sentence(socket, subnet, *found);
  };

  ifaddrmsg address_header{};
  address_header.ifa_family = AF_INET;
  const auto addresses =
      dump<Found>(socket, RTM_GETADDR, address_header, "list the addresses",
                  [&](nlmsghdr* header) { return overlapping_address(header, subnet); });
  if (auto overlap = first_foreign(addresses)) return overlap;

  rtmsg route_header{};
  route_header.rtm_family = AF_INET;
  return first_foreign(
      dump<Found>(socket, RTM_GETROUTE, route_header, "list the routes",
                  [&](nlmsghdr* header) { return overlapping_route(header, subnet); }));
}

}  // namespace wso::net
