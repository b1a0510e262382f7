#include <arpa/inet.h>
#include <linux/if_addr.h>
#include <linux/neighbour.h>
#include <linux/rtnetlink.h>
#include <netlink/route/addr.h>
#include <netlink/route/neighbour.h>
#include <netlink/route/nexthop.h>
#include <netlink/route/route.h>

#include <wso/net/route.hpp>

#include "nl.hpp"

namespace wso::net {
namespace {

using AddressObject = std::unique_ptr<rtnl_addr, NlDeleter<rtnl_addr_put>>;
using RouteObject = std::unique_ptr<rtnl_route, NlDeleter<rtnl_route_put>>;
using NeighbourObject = std::unique_ptr<rtnl_neigh, NlDeleter<rtnl_neigh_put>>;

NlAddress make_address(Ipv4Address address, int prefix_length = 32) {
  const std::uint32_t network_order = htonl(address.value);
  NlAddress object(checked(nl_addr_build(AF_INET, &network_order, sizeof network_order)));
  nl_addr_set_prefixlen(object.get(), prefix_length);
  return object;
}

// False if what the request adds is there already.
bool send(nl_sock* socket, nl_msg* request, int build_result, std::string_view what, int index) {
  const Message message(request);
  check(build_result, what);
  const Answer answer = ask(socket, message.get());
  if (answer.error_number == EEXIST) return false;
  if (answer.error_number != 0)
    refuse(answer, fmt::format("{} on {}", what, name_of(socket, index)));
  return true;
}

RouteObject make_host_route(int index, Ipv4Address address, Ipv4Address source) {
  RouteObject object(checked(rtnl_route_alloc()));
  const NlAddress destination = make_address(address);
  const NlAddress preferred_source = make_address(source);
  rtnl_route_set_table(object.get(), RT_TABLE_MAIN);
  rtnl_route_set_scope(object.get(), RT_SCOPE_LINK);
  check(rtnl_route_set_dst(object.get(), destination.get()), "build a route");
  check(rtnl_route_set_pref_src(object.get(), preferred_source.get()), "build a route");
  rtnl_nexthop* next_hop = checked(rtnl_route_nh_alloc());
  rtnl_route_nh_set_ifindex(next_hop, index);
  rtnl_route_add_nexthop(object.get(), next_hop);  // the route owns it from here on
  return object;
}

void put(const Message& message, int attribute, Ipv4Address address) {
  check(nla_put_u32(message.get(), attribute, htonl(address.value)), "build a message");
}

bool holds(nlattr* attribute, std::uint32_t value) {
  return attribute != nullptr && nla_get_u32(attribute) == value;
}

// Does the main table's route to the address lead to this link? The answer is one look-up, not a
// list. A policy rule may hide the main table from it: what cannot be seen is not called wrong.
bool leads_to(nl_sock* socket, int index, Ipv4Address address, Ipv4Address source) {
  rtmsg header{};
  header.rtm_family = AF_INET;
  header.rtm_dst_len = 32;
  header.rtm_flags = RTM_F_FIB_MATCH;
  const Message request = make_message(RTM_GETROUTE, 0, header);
  put(request, RTA_DST, address);
  bool leads = false;
  const Answer answer = ask(socket, request.get(), [&](nlmsghdr* object) {
    Attributes<RTA_MAX> attributes{};
    check(nlmsg_parse(object, sizeof(rtmsg), attributes.data(), RTA_MAX, nullptr), "read a route");
    const auto* fixed = static_cast<const rtmsg*>(nlmsg_data(object));
    leads = fixed->rtm_table != RT_TABLE_MAIN ||
            (holds(attributes[RTA_OIF], static_cast<std::uint32_t>(index)) &&
             holds(attributes[RTA_PREFSRC], htonl(source.value)));
  });
  return answer.error_number == 0 && leads;
}

bool has_neighbour(nl_sock* socket, int index, Ipv4Address address, const MacAddress& mac) {
  ndmsg header{};
  header.ndm_family = AF_INET;
  header.ndm_ifindex = index;
  const Message request = make_message(RTM_GETNEIGH, 0, header);
  put(request, NDA_DST, address);
  bool same = false;
  const Answer answer = ask(socket, request.get(), [&](nlmsghdr* object) {
    Attributes<NDA_MAX> attributes{};
    check(nlmsg_parse(object, sizeof(ndmsg), attributes.data(), NDA_MAX, nullptr),
          "read a neighbour");
    MacAddress found;
    if (nlattr* link_address = attributes[NDA_LLADDR]; link_address != nullptr)
      nla_memcpy(found.bytes.data(), link_address, static_cast<int>(found.bytes.size()));
    const auto* fixed = static_cast<const ndmsg*>(nlmsg_data(object));
    same = found == mac && (fixed->ndm_state & NUD_PERMANENT) != 0;
  });
  return answer.error_number == 0 && same;
}

}  // namespace

bool add_gateway_address(nl_sock* socket, int index, Ipv4Address address, int prefix_length) {
  const AddressObject object(checked(rtnl_addr_alloc()));
  const NlAddress local = make_address(address, prefix_length);
  rtnl_addr_set_ifindex(object.get(), index);
  check(rtnl_addr_set_local(object.get(), local.get()), "build an address");
  rtnl_addr_set_flags(object.get(), IFA_F_NOPREFIXROUTE);
  nl_msg* request = nullptr;
  const int result = rtnl_addr_build_add_request(object.get(), NLM_F_EXCL, &request);
  return send(socket, request, result, fmt::format("add the address {}", to_string(address)),
              index);
}

bool add_host_route(nl_sock* socket, int index, Ipv4Address address, Ipv4Address source) {
  const RouteObject object = make_host_route(index, address, source);
  const std::string what = fmt::format("add the route to {}", to_string(address));
  nl_msg* request = nullptr;
  int result = rtnl_route_build_add_request(object.get(), NLM_F_EXCL, &request);
  if (send(socket, request, result, what, index)) return true;
  if (leads_to(socket, index, address, source)) return false;
  result = rtnl_route_build_add_request(object.get(), NLM_F_REPLACE, &request);
  return send(socket, request, result, what, index);
}

bool add_neighbour(nl_sock* socket, int index, Ipv4Address address, const MacAddress& mac) {
  if (has_neighbour(socket, index, address, mac)) return false;
  const NeighbourObject object(checked(rtnl_neigh_alloc()));
  const NlAddress destination = make_address(address);
  const NlAddress link_address(checked(nl_addr_build(AF_LLC, mac.bytes.data(), mac.bytes.size())));
  rtnl_neigh_set_ifindex(object.get(), index);
  check(rtnl_neigh_set_dst(object.get(), destination.get()), "build a neighbour");
  rtnl_neigh_set_lladdr(object.get(), link_address.get());
  rtnl_neigh_set_state(object.get(), NUD_PERMANENT);
  nl_msg* request = nullptr;
  const int result =
      rtnl_neigh_build_add_request(object.get(), NLM_F_CREATE | NLM_F_REPLACE, &request);
  return send(socket, request, result, fmt::format("add the neighbour {}", to_string(address)),
              index);
}

}  // namespace wso::net
