// A domain's network without QEMU: the test itself is the guest on the other end of the tap.
#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <vector>

#include <wso/base/unique_fd.hpp>
#include <wso/net/address.hpp>
#include <wso/net/netlink.hpp>

namespace wso::test {

// Tap, bridge, gateway address and host route as the daemon makes them, in its order. The
// destructor closes the tap; the bridge stays until someone deletes it.
class TapGuest {
 public:
  // bridge "virbr<id>", tap "vnet<id>".
  TapGuest(nl_sock* socket, const std::string& id, const std::string& address);

  [[nodiscard]] int tap() const { return tap_.get(); }
  [[nodiscard]] int bridge() const { return bridge_; }
  // From the instant the tap was brought up.
  [[nodiscard]] std::chrono::steady_clock::time_point up_since() const { return up_since_; }

  // Answers one frame that waits in the tap, if it is an ARP request or an ICMP echo for us.
  void answer() const;

 private:
  net::Ipv4Address address_;
  net::MacAddress mac_;
  UniqueFd tap_;
  int bridge_ = 0;
  std::chrono::steady_clock::time_point up_since_;
};

// Pings the address from this namespace, with the guests answering, until it is answered or two
// seconds have passed. When the answer came; nullopt for none.
std::optional<std::chrono::steady_clock::time_point> ping(
    const std::string& address, const std::vector<const TapGuest*>& guests = {});

}  // namespace wso::test
