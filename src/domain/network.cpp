#include <algorithm>
#include <functional>

#include <wso/base/error.hpp>
#include <wso/base/log.hpp>
#include <wso/domain/network.hpp>
#include <wso/net/link.hpp>
#include <wso/net/route.hpp>
#include <wso/net/sysctl.hpp>
#include <wso/net/tap.hpp>

#include "links.hpp"

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

bool bridge_is_of(const std::vector<DomainPlan>& plans, const std::string& bridge_name) {
  return std::any_of(plans.begin(), plans.end(),
                     [&](const DomainPlan& plan) { return plan.bridge_name() == bridge_name; });
}

}  // namespace

Networks::Networks(const Settings& settings)
    : settings_(settings), socket_(net::open_route_socket()), firewall_watch_(firewall_) {}

bool Networks::claim() { return firewall_.put_guard(net::link_group); }

std::vector<KeptNetwork> Networks::start(const std::vector<DomainPlan>& running,
                                         const std::vector<DomainPlan>& gone) {
  // Domains that run are not left without a server for it: to launch more is refused.
  if (running.empty())
    check_subnet_is_free();
  else if (const auto overlap = find_overlap())
    log::error("{}", *overlap);
  const std::vector<nft::Guest> kept = guests_of_nobody(running, gone);
  guests_ = kept;
  for (const auto& plan : running) guests_.push_back(firewall_guest(plan, settings_));
  mend_firewall();
  remove_bridges_of_nobody();
  mend_forwarding();

  std::vector<KeptNetwork> networks;
  for (const auto& guest : kept) {
    log::warn("bridge {} ({}) belongs to no domain, but has a QEMU that runs: it is left alone",
              guest.bridge_name, guest.ip_address);
    networks.push_back({guest.bridge_name, net::parse_ipv4(guest.ip_address)});
  }
  return networks;
}

void Networks::mend_firewall() {
  firewall_.replace_table(net::to_string(settings_.subnet), guests_);
}

// A guest without its rules in the kernel cannot be kept: nobody knows its address.
std::vector<nft::Guest> Networks::guests_of_nobody(const std::vector<DomainPlan>& running,
                                                   const std::vector<DomainPlan>& gone) {
  const auto links = net::list_links(socket_.get(), net::link_group);
  const auto is_kept = [&](const nft::Guest& guest) {
    const auto bridge = std::find_if(links.begin(), links.end(), [&](const net::Link& link) {
      return link.name == guest.bridge_name;
    });
    return bridge != links.end() && !bridge_is_of(running, bridge->name) &&
           !bridge_is_of(gone, bridge->name) &&
           std::any_of(links.begin(), links.end(), [&](const net::Link& link) {
             return link.kind == "tun" && link.master == bridge->index;
           });
  };
  std::vector<nft::Guest> guests = firewall_.guests();
  std::erase_if(guests, [&](const nft::Guest& guest) { return !is_kept(guest); });
  return guests;
}

// A tap of ours has a holder, QEMU, and goes with it; what can be left behind are bridges.
void Networks::remove_bridges_of_nobody() {
  bool any_dying = !net::list_links(socket_.get(), net::dying_link_group).empty();
  for (const auto& link : net::list_links(socket_.get(), net::link_group)) {
    const bool wanted = std::any_of(guests_.begin(), guests_.end(), [&](const nft::Guest& guest) {
      return guest.bridge_name == link.name;
    });
    if (wanted || link.kind == "tun") continue;
    log::warn("link {} ({}) belongs to no running domain, and is removed", link.name, link.alias);
    net::set_group(socket_.get(), link.index, net::dying_link_group);
    any_dying = true;
  }
  if (any_dying) net::delete_group(socket_.get(), net::dying_link_group);
}

std::optional<std::string> Networks::find_overlap() {
  return net::find_overlap(socket_.get(), settings_.subnet, net::link_group);
}

void Networks::check_subnet_is_free() {
  if (const auto overlap = find_overlap()) throw Error(Errc::already_exists, "{}", *overlap);
}

UniqueFd Networks::build(const DomainPlan& plan) {
  check_subnet_is_free();
  const nft::Guest guest = firewall_guest(plan, settings_);
  // The rules first: no packet of the guest may pass without them.
  firewall_.add_guest(guest);
  Guard elements([&] { undo("firewall elements", [&] { firewall_.remove_guest(guest); }); });
  UniqueFd tap = build_links(plan);
  elements.keep();
  guests_.push_back(guest);
  return tap;
}

UniqueFd Networks::build_links(const DomainPlan& plan) {
  nl_sock* const socket = socket_.get();
  UniqueFd tap = net::open_tap(plan.tap_name());
  const auto tap_link = net::find_link(socket, plan.tap_name());
  if (!tap_link) throw Error(Errc::kernel, "tap {} vanished", plan.tap_name());
  // The MAC address first: what happens to links of our group is watched.
  net::set_mac(socket, tap_link->index, plan.tap_mac());
  net::set_group(socket, tap_link->index, net::link_group);
  const int bridge = create_bridge(socket, plan);
  Guard link([&] {
    undo("bridge " + plan.bridge_name(), [&] {
      net::set_group(socket, bridge, net::dying_link_group);
      net::delete_link(socket, bridge);
    });
  });
  complete_links(socket, plan);
  link.keep();
  return tap;
}

std::vector<std::string> Networks::mend(const DomainPlan& plan) {
  nl_sock* const socket = socket_.get();
  const bool has_tap = net::find_link(socket, plan.tap_name()).has_value();
  // The rules first, which fail while their table is away: no link is mended then, and untold.
  const bool lacked_rules = has_tap && firewall_.mend_guest(firewall_guest(plan, settings_));
  const bool lacks_bridge = has_tap && !net::find_link(socket, plan.bridge_name());
  if (lacks_bridge) create_bridge(socket, plan);
  auto mended = complete_links(socket, plan);
  if (lacks_bridge) {
    // A new bridge has lacked everything. The old one may be there under another name.
    mended = {"bridge " + plan.bridge_name()};
    remove_bridges_of_nobody();
  }
  if (lacked_rules) mended.push_back("firewall elements of " + plan.spec.domain_name);
  return mended;
}

bool Networks::mend_forwarding() { return net::set_sysctl("ipv4/ip_forward", "1"); }

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
      if (!link || !is_own_bridge(*link, plan)) return;
      net::set_group(socket, link->index, net::dying_link_group);
      any_dying = true;
    });
  }
  if (any_dying) attempt("bridges", [&] { net::delete_group(socket, net::dying_link_group); });
  // The rules last, as they were first.
  for (const auto& plan : plans) {
    const nft::Guest guest = firewall_guest(plan, settings_);
    std::erase(guests_, guest);
    attempt("firewall elements of " + plan.spec.domain_name,
            [&] { firewall_.remove_guest(guest); });
  }
  if (!failures.empty()) throw Error(Errc::kernel, "{}", failures);
}

void Networks::stop() {
  firewall_.remove_table();
  firewall_.remove_guard();
}

}  // namespace wso::domain
