#include <arpa/inet.h>
#include <linux/if_addr.h>
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

void send(nl_sock* socket, nl_msg* request, int build_result, std::string_view what, int index) {
  const Message message(request);
  check(build_result, what);
  const Answer answer = ask(socket, message.get());
  if (answer.error_number != 0)
    refuse(answer, fmt::format("{} on {}", what, name_of(socket, index)));
}

}  // namespace

void add_gateway_address(nl_sock* socket, int index, Ipv4Address address, int prefix_length) {
  const AddressObject object(checked(rtnl_addr_alloc()));
  const NlAddress local = make_address(address, prefix_length);
  rtnl_addr_set_ifindex(object.get(), index);
  check(rtnl_addr_set_local(object.get(), local.get()), "build an address");
  rtnl_addr_set_flags(object.get(), IFA_F_NOPREFIXROUTE);
  nl_msg* request = nullptr;
  const int result = rtnl_addr_build_add_request(object.get(), NLM_F_EXCL, &request);
  send(socket, request, result, fmt::format("add the address {}", to_string(address)), index);
}

void add_host_route(nl_sock* socket, int index, Ipv4Address address, Ipv4Address source) {
  const RouteObject object(checked(rtnl_route_alloc()));
  const NlAddress destination = make_address(address);
  const NlAddress preferred_source = make_address(source);
  rtnl_route_set_table(object.get(), RT_TABLE_MAIN);
  rtnl_route_set_scope(object.get(), RT_SCOPE_LINK);
  check(rtnl_route_set_dst(object.get(), destination.get()), "build a route");
  check(rtnl_route_set_pref_src(object.get(), preferred_source.get()), "build a route");
  rtnl_nexthop* next_hop = checked(rtnl_route_nh_alloc());
  rtnl_route_nh_set_ifindex(next_hop, index);
  rtnl_route_add_nexthop(object.get(), next_hop);  // the route owns it from here on
  nl_msg* request = nullptr;
  const int result = rtnl_route_build_add_request(object.get(), NLM_F_EXCL, &request);
  send(socket, request, result, fmt::format("add the route to {}", to_string(address)), index);
}

void add_neighbour(nl_sock* socket, int index, Ipv4Address address, const MacAddress& mac) {
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
  send(socket, request, result, fmt::format("add the neighbour {}", to_string(address)), index);
}

}  // namespace wso::net
