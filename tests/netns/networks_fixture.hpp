// One domain's network, built by Networks, with a guest of real TCP at the other end of its tap, an
// uplink, and what ip says about it all.
#pragma once

#include <ostream>
#include <string>
#include <thread>

#include <wso/domain/network.hpp>

#include "traffic.hpp"
#include "witness.hpp"

namespace wso::test {

domain::Settings make_settings();
domain::DomainPlan plan_for(const std::string& domain_name);

// Carries frames between the tap of a domain and eth0 of a namespace, as QEMU does for a guest.
class Cable {
 public:
  Cable(UniqueFd tap, const domain::DomainPlan& plan);
  ~Cable();
  Cable(const Cable&) = delete;
  Cable& operator=(const Cable&) = delete;

  Namespace ns;

 private:
  void carry() const;

  UniqueFd tap_, eth0_, stop_;
  std::thread thread_;
};

// What the watches have seen, together.
struct Seen {
  net::Damage damage;
  bool firewall = false;
  bool operator==(const Seen&) const = default;
};
std::ostream& operator<<(std::ostream& out, const Seen& seen);

class NetworksTest : public NetnsTest {
 protected:
  NetworksTest();
  ~NetworksTest() override;

  // All that has come; the first of it may take so long.
  Seen seen(int patience_ms = 0);

  // Links of ours, their addresses, routes and neighbours, without what differs each time.
  static Json state();

  domain::Settings settings_ = make_settings();
  domain::DomainPlan plan_ = plan_for("web");
  Uplink uplink_;
  domain::Networks networks_;
};

// A TCP connection from the guest to a server on the uplink.
struct Flow {
  Flow(const Cable& guest, const Uplink& uplink);
  // Bytes pass, both ways.
  [[nodiscard]] bool goes_on() const;
  UniqueFd client;
  UniqueFd server;
};

}  // namespace wso::test
