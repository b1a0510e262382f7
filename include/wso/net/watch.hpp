// Notices what others do to our links, and to what hangs on them, by the kernel's notifications.
// Says only what may need mending: whoever mends compares with the kernel anyway.
#pragma once

#include <map>
#include <set>
#include <string>

#include <wso/base/netlink_listener.hpp>
#include <wso/net/link.hpp>

namespace wso::net {

struct Damage {
  // Links of ours that were deleted, renamed, brought down, given another MAC address, taken out
  // of their bridge or our group, forbidden to forward, or that lost an IPv4 address, a route or a
  // neighbour.
  std::set<std::string> links;
  // Those whose route was replaced by one that does not lead to a link of ours.
  std::set<Ipv4Address> rerouted;
  bool forwarding = false;  // net.ipv4.ip_forward was switched off
  bool overrun = false;     // notifications were lost: anything may be damaged
  [[nodiscard]] bool none() const {
    return links.empty() && rerouted.empty() && !forwarding && !overrun;
  }
  bool operator==(const Damage&) const = default;
};

// The links of our group as the notifications tell of them. No I/O. What we do ourselves is no
// damage: to build only adds, and before a deletion a link leaves for dying_link_group.
class OwnLinks {
 public:
  void learn(const std::vector<Link>& links);
  // Any message, be it nonsense.
  void follow(const NetlinkMessage& message, Damage& damage);

 private:
  struct State {
    std::string name;
    std::string mac;
    int master = 0;
    bool up = false;
  };
  void follow_link(const NetlinkMessage& message, Damage& damage);
  void lose(int index, Damage& damage);

  std::map<int, State> links_;  // by their index
};

class Watch {
 public:
  // In the network namespace of the calling thread. Knows the links that are there already.
  Watch();

  // Readable when read() has something to do.
  [[nodiscard]] int fd() const { return listener_.fd(); }

  // Does not wait, except after an overrun: then it lists the links anew. One that has failed is an
  // overrun of the next.
  Damage read();

 private:
  NetlinkListener listener_;
  NlSocket socket_;
  OwnLinks links_;
  bool missed_ = false;
};

}  // namespace wso::net
