// Addresses, routes and neighbours (IPv4), and the check that a subnet is free on this host.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include <wso/net/address.hpp>
#include <wso/net/netlink.hpp>

namespace wso::net {

// The address with its prefix length, but without the route to the whole subnet that the kernel
// would add (IFA_F_NOPREFIXROUTE): many bridges carry the same gateway address. False if it is
// there already.
bool add_gateway_address(nl_sock* socket, int index, Ipv4Address address, int prefix_length);

// `address`/32 dev `index` src `source` scope link, in the main table. False if it is there
// already; replaces one that leads elsewhere.
bool add_host_route(nl_sock* socket, int index, Ipv4Address address, Ipv4Address source);

// A permanent neighbour entry: the host never asks by ARP for this address on this link, and what
// the guest answers by ARP cannot change it. False if it is there already; replaces another.
bool add_neighbour(nl_sock* socket, int index, Ipv4Address address, const MacAddress& mac);

// A sentence that names the first address or route of this host, in any routing table, that
// overlaps the subnet. What belongs to links of `own_group` or of dying_link_group does not
// count, nor do default routes, be they written as one or, as VPNs do, as two halves.
std::optional<std::string> find_overlap(nl_sock* socket, const Ipv4Subnet& subnet,
                                        std::uint32_t own_group);

}  // namespace wso::net
