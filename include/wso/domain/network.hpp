// The NAT networks of all domains in the kernel: bridge, tap, gateway address, host route and
// firewall elements. Synchronous: called on the worker thread only.
#pragma once

#include <string>
#include <vector>

#include <wso/base/unique_fd.hpp>
#include <wso/domain/plan.hpp>
#include <wso/net/netlink.hpp>
#include <wso/nft/firewall.hpp>

namespace wso::domain {

class Networks {
 public:
  // Opens the sockets in the namespace of the calling thread. `settings` must outlive it.
  explicit Networks(const Settings& settings);

  // Replaces the firewall table, in one transaction, by one with just these domains, removes every
  // link of ours that belongs to none of them, and lets the host forward packets.
  void start(const std::vector<DomainPlan>& running);

  // Builds it all or leaves nothing. The tap lives as long as the descriptor that is returned.
  UniqueFd build(const DomainPlan& plan);

  // Removes the networks of domains whose QEMU is gone; what is not there is not missed. All of
  // them share the kernel's grace periods. Reports everything that failed in one error.
  void destroy(const std::vector<DomainPlan>& plans);

  // Takes the firewall table away, when no domain is left that needs it.
  void stop();

 private:
  void check_subnet_is_free();
  UniqueFd build_links(const DomainPlan& plan);

  const Settings& settings_;
  net::NlSocket socket_;
  nft::Firewall firewall_;
};

}  // namespace wso::domain
