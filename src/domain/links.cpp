#include "links.hpp"

#include <wso/base/error.hpp>
#include <wso/net/link.hpp>
#include <wso/net/route.hpp>
#include <wso/net/sysctl.hpp>

namespace wso::domain {
namespace {

using Mended = std::vector<std::string>;

std::string alias_of(const DomainPlan& plan) { return "wso:" + plan.spec.domain_name; }

bool is_own(const net::Link& link, std::string_view kind, const DomainPlan& plan) {
  return link.kind == kind && (link.group == net::link_group || link.alias == alias_of(plan));
}

net::Link own_tap(nl_sock* socket, const DomainPlan& plan) {
  const auto tap = net::find_link(socket, plan.tap_name());
  if (!tap || !is_own(*tap, "tun", plan))
    throw Error(
        Errc::wrong_state,
        "domain {}: its tap {} is gone, or is not the one that wso made: restart the domain",
        plan.spec.domain_name, plan.tap_name());
  return *tap;
}

net::Link own_bridge(nl_sock* socket, const DomainPlan& plan) {
  const auto bridge = net::find_link(socket, plan.bridge_name());
  if (!bridge) throw Error(Errc::kernel, "bridge {} vanished", plan.bridge_name());
  if (!is_own_bridge(*bridge, plan))
    throw Error(Errc::already_exists,
                "domain {}: the link {} is not the bridge that wso made: remove or rename it",
                plan.spec.domain_name, plan.bridge_name());
  return *bridge;
}

void mend_identity(nl_sock* socket, const net::Link& link, const net::MacAddress& mac,
                   const DomainPlan& plan, Mended& mended) {
  const std::string alias = alias_of(plan);
  if (link.group != net::link_group) {
    net::set_group(socket, link.index, net::link_group);
    mended.push_back("group of " + link.name);
  }
  if (link.mac != mac) {
    net::set_mac(socket, link.index, mac);
    mended.push_back("MAC address of " + link.name);
  }
  if (link.alias != alias) {
    net::set_alias(socket, link.index, alias);
    mended.push_back("alias of " + link.name);
  }
  if (net::set_sysctl(fmt::format("ipv6/conf/{}/disable_ipv6", link.name), "1"))
    mended.push_back("absence of IPv6 on " + link.name);
}

// With STP on, a port that comes up listens and learns for twice the forward delay before the
// guest's first packet; a port that forwards already goes on forwarding when STP is switched on.
void mend_port(nl_sock* socket, const net::Link& tap, const net::Link& bridge, Mended& mended) {
  const bool inside = tap.master == bridge.index;
  const bool up = tap.up && bridge.up;
  const bool waits = inside && up && tap.running && !tap.forwards;
  if (!inside || !up || waits) {
    if (net::stp(socket, bridge.index)) net::set_stp(socket, bridge.index, false);
  }
  if (waits) {
    net::let_forward(socket, tap.index);
    mended.push_back(fmt::format("port {} of bridge {}", tap.name, bridge.name));
  }
  if (!inside) {
    net::enslave(socket, tap.index, bridge.index);
    mended.push_back(fmt::format("tap {} in bridge {}", tap.name, bridge.name));
  }
  if (!tap.up) {
    net::bring_up(socket, tap.index);
    mended.push_back(fmt::format("tap {} up", tap.name));
  }
  if (!bridge.up) {
    net::bring_up(socket, bridge.index);
    mended.push_back(fmt::format("bridge {} up", bridge.name));
  }
}

}  // namespace

bool is_own_bridge(const net::Link& link, const DomainPlan& plan) {
  return is_own(link, "bridge", plan);
}

int create_bridge(nl_sock* socket, const DomainPlan& plan) {
  return net::create_bridge(socket, plan.bridge_name(), plan.bridge_mac(), net::link_group);
}

Mended complete_links(nl_sock* socket, const DomainPlan& plan) {
  const net::Link tap = own_tap(socket, plan);
  const net::Link bridge = own_bridge(socket, plan);
  Mended mended;
  mend_identity(socket, tap, plan.tap_mac(), plan, mended);
  mend_identity(socket, bridge, plan.bridge_mac(), plan, mended);
  if (net::set_sysctl(fmt::format("ipv4/conf/{}/forwarding", bridge.name), "1"))
    mended.push_back("forwarding on " + bridge.name);
  mend_port(socket, tap, bridge, mended);
  // In this order: a link that goes down loses its routes and neighbours, and one that loses its
  // last address, its routes.
  if (net::add_gateway_address(socket, bridge.index, plan.gateway, plan.subnet.prefix_length))
    mended.push_back(fmt::format("address {} on {}", net::to_string(plan.gateway), bridge.name));
  if (net::add_host_route(socket, bridge.index, plan.address, plan.gateway))
    mended.push_back("route to " + net::to_string(plan.address));
  if (net::add_neighbour(socket, bridge.index, plan.address, plan.mac))
    mended.push_back("neighbour " + net::to_string(plan.address));
  // Last: see mend_port().
  if (!net::stp(socket, bridge.index)) {
    net::set_stp(socket, bridge.index, true);
    if (mended.empty()) mended.push_back("spanning tree of " + bridge.name);
  }
  return mended;
}

}  // namespace wso::domain
