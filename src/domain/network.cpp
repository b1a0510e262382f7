#include <algorithm>
#include <functional>

#include <wso/base/error.hpp>
#include <wso/base/log.hpp>
#include <wso/domain/network.hpp>
#include <wso/net/link.hpp>
#include <wso/net/route.hpp>
#include <wso/net/sysctl.hpp>
#include <wso/net/tap.hpp>

namespace wso::domain {
namespace {

// Runs an undo when its scope is left before keep(). The undo must not throw.
class Guard {
 public:
  explicit Guard(std::function<void()> undo) : undo_(std::move(undo)) {}
  Guard(const Guard&) = delete;
  Guard& operator=(const Guard&) = delete;
  ~Guard() {
    if (undo_) undo_();
  }
  void keep() { undo_ = nullptr; }

 private:
  std::function<void()> undo_;
};

// Runs an undo step whose failure can only be logged, as another error is on its way up.
void undo(std::string_view what, const std::function<void()>& step) {
  try {
    step();
  } catch (const Error& error) {
    log::error("undo: {}: {}", what, error.what());
  }
}

}  // namespace

Networks::Networks(const Settings& settings)
    : settings_(settings), socket_(net::open_route_socket()) {}

void Networks::start(const std::vector<DomainPlan>& running) {
  check_subnet_is_free();
  std::vector<nft::Guest> guests;
  for (const auto& plan : running) guests.push_back(firewall_guest(plan, settings_));
  firewall_.replace_table(net::to_string(settings_.subnet), guests);

  // A tap of ours has a holder, QEMU, and goes with it; what can be left behind are bridges.
  bool any_dying = !net::list_links(socket_.get(), net::dying_link_group).empty();
  for (const auto& link : net::list_links(socket_.get(), net::link_group)) {
    const bool wanted = std::any_of(running.begin(), running.end(), [&](const DomainPlan& plan) {
      return link.name == plan.bridge_name() || link.name == plan.tap_name();
    });
    if (wanted) continue;
    log::warn("link {} ({}) belongs to no running domain, and is removed", link.name, link.alias);
    net::set_group(socket_.get(), link.index, net::dying_link_group);
    any_dying = true;
  }
  if (any_dying) net::delete_group(socket_.get(), net::dying_link_group);
  net::set_sysctl("ipv4/ip_forward", "1");
}

void Networks::check_subnet_is_free() {
  const auto overlap = net::find_overlap(socket_.get(), settings_.subnet, net::link_group);
  if (overlap) throw Error(Errc::already_exists, "{}", *overlap);
}

UniqueFd Networks::build(const DomainPlan& plan) {
  check_subnet_is_free();
  const nft::Guest guest = firewall_guest(plan, settings_);
  // The rules first: no packet of the guest may pass without them.
  firewall_.add_guest(guest);
  Guard elements([&] { undo("firewall elements", [&] { firewall_.remove_guest(guest); }); });
  UniqueFd tap = build_links(plan);
  elements.keep();
  return tap;
}

UniqueFd Networks::build_links(const DomainPlan& plan) {
  nl_sock* const socket = socket_.get();
  const std::string bridge_name = plan.bridge_name();
  const std::string alias = "wso:" + plan.spec.domain_name;

  UniqueFd tap = net::open_tap(plan.tap_name());
  const auto tap_link = net::find_link(socket, plan.tap_name());
  if (!tap_link) throw Error(Errc::kernel, "tap {} vanished", plan.tap_name());
  net::set_mac(socket, tap_link->index, plan.tap_mac());
  net::set_group(socket, tap_link->index, net::link_group);
  net::set_alias(socket, tap_link->index, alias);

  const int bridge = net::create_bridge(socket, bridge_name, plan.bridge_mac(), net::link_group);
  Guard link([&] { undo("bridge " + bridge_name, [&] { net::delete_link(socket, bridge); }); });
  net::set_alias(socket, bridge, alias);
  net::set_sysctl(fmt::format("ipv6/conf/{}/disable_ipv6", bridge_name), "1");
  net::set_sysctl(fmt::format("ipv6/conf/{}/disable_ipv6", plan.tap_name()), "1");
  net::enslave(socket, tap_link->index, bridge);
  net::add_gateway_address(socket, bridge, settings_.gateway, settings_.subnet.prefix_length);
  net::bring_up(socket, tap_link->index);
  net::bring_up(socket, bridge);
  net::add_host_route(socket, bridge, plan.address, settings_.gateway);
  net::add_neighbour(socket, bridge, plan.address, plan.mac);
  // With STP on from the start the port would listen and learn for twice the forward delay before
  // the guest's first packet; a port that forwards already goes on forwarding.
  net::set_stp(socket, bridge, true);
  link.keep();
  return tap;
}

void Networks::destroy(const std::vector<DomainPlan>& plans) {
  nl_sock* const socket = socket_.get();
  std::string failures;
  const auto attempt = [&](const std::string& what, const std::function<void()>& step) {
    try {
      step();
    } catch (const Error& error) {
      failures += fmt::format("{}{}: {}", failures.empty() ? "" : "; ", what, error.what());
    }
  };
  bool any_dying = false;
  for (const auto& plan : plans) {
    attempt("bridge " + plan.bridge_name(), [&] {
      const auto link = net::find_link(socket, plan.bridge_name());
      if (!link || link->group != net::link_group) return;
      net::set_group(socket, link->index, net::dying_link_group);
      any_dying = true;
    });
  }
  if (any_dying) attempt("bridges", [&] { net::delete_group(socket, net::dying_link_group); });
  // The rules last, as they were first.
  for (const auto& plan : plans)
    attempt("firewall elements of " + plan.spec.domain_name,
            [&] { firewall_.remove_guest(firewall_guest(plan, settings_)); });
  if (!failures.empty()) throw Error(Errc::kernel, "{}", failures);
}

void Networks::stop() { firewall_.remove_table(); }

}  // namespace wso::domain
