// The NAT networks of all domains in the kernel: bridge, tap, gateway address, host route and
// firewall elements. Synchronous: called on the worker thread only.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include <wso/base/unique_fd.hpp>
#include <wso/domain/plan.hpp>
#include <wso/net/netlink.hpp>
#include <wso/net/watch.hpp>
#include <wso/nft/firewall.hpp>
#include <wso/nft/watch.hpp>

namespace wso::domain {

// Of a domain that nobody names, whose QEMU runs all the same.
struct KeptNetwork {
  std::string bridge_name;
  net::Ipv4Address address;
  bool operator==(const KeptNetwork&) const = default;
};

class Networks {
 public:
  // Opens the sockets in the namespace of the calling thread. `settings` must outlive it.
  explicit Networks(const Settings& settings);

  // Makes this the one server of its network namespace, until stop() or its end, and puts up
  // guard.nft. False if there is another. A server calls it before all else.
  bool claim();

  // Replaces the firewall table, in one transaction, by one with just these domains, removes every
  // bridge of ours that belongs to none of them, and lets the host forward packets. A bridge with a
  // tap of ours in it has a QEMU that runs, be it one whose record cannot be read: it is left
  // alone, keeps its rules, and is returned, as its name and address must not be given to another.
  // Those of `gone` are not, be their taps still about to vanish. A subnet that is not free is
  // Errc::already_exists, unless domains run in it.
  std::vector<KeptNetwork> start(const std::vector<DomainPlan>& running,
                                 const std::vector<DomainPlan>& gone = {});

  // Builds it all or leaves nothing. The tap lives as long as the descriptor that is returned.
  UniqueFd build(const DomainPlan& plan);

  // Removes the networks of domains whose QEMU is gone; what is not there is not missed. All of
  // them share the kernel's grace periods. Reports everything that failed in one error.
  void destroy(const std::vector<DomainPlan>& plans);

  // Compares all that build() makes of this running domain with the kernel, and sets right what is
  // missing or wrong, whatever the number of domains. Returns in words what that was, such as
  // "bridge virbrweb" or "route to 192.168.100.7"; nothing if all was well.
  // Errc::wrong_state if its tap is gone, which only a new QEMU can make; Errc::already_exists if a
  // link of somebody else has its bridge's name.
  std::vector<std::string> mend(const DomainPlan& plan);

  // After a change by others, of whatever kind: replaces the table as start() does. Atomic, and no
  // change by others itself, so that nothing goes round in circles.
  void mend_firewall();

  // False if the host forwards packets already.
  static bool mend_forwarding();

  // Takes the firewall table away, when no domain is left that needs it.
  void stop();

  // Both know what is ours from the construction on. Unlike all else here, they are for one thread
  // that need not be the worker.
  net::Watch& link_watch() { return link_watch_; }
  nft::Watch& firewall_watch() { return firewall_watch_; }

 private:
  std::optional<std::string> find_overlap();
  void check_subnet_is_free();
  std::vector<nft::Guest> guests_of_nobody(const std::vector<DomainPlan>& running,
                                           const std::vector<DomainPlan>& gone);
  void remove_bridges_of_nobody();
  UniqueFd build_links(const DomainPlan& plan);

  const Settings& settings_;
  net::NlSocket socket_;
  nft::Firewall firewall_;
  net::Watch link_watch_;
  nft::Watch firewall_watch_;
  std::vector<nft::Guest> guests_;  // all that the firewall is to know
};

}  // namespace wso::domain
