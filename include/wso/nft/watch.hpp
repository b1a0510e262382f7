// Notices by the kernel's notifications that somebody else changes the table `inet wso`.
#pragma once

#include <cstdint>

#include <wso/base/netlink_listener.hpp>
#include <wso/nft/firewall.hpp>

namespace wso::nft {

// Any message, be it nonsense. Does it tell of a change in the table that was not made through the
// socket with this port?
bool is_change_by_others(const NetlinkMessage& message, std::uint32_t own_port);

class Watch {
 public:
  // In the network namespace of the calling thread.
  explicit Watch(const Firewall& own);

  // Readable when read() has something to do.
  [[nodiscard]] int fd() const { return listener_.fd(); }

  // True if somebody else may have changed the table, also while the read before failed. Does not
  // wait.
  bool read();

 private:
  NetlinkListener listener_;
  std::uint32_t own_port_ = 0;
  bool missed_ = false;
};

}  // namespace wso::nft
