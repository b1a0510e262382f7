// A tap: the file descriptor is the tap. It is never persistent; the kernel removes it when the
// last copy of the descriptor is closed, which is QEMU's once the daemon has handed it over.
#pragma once

#include <string>

#include <wso/base/unique_fd.hpp>

namespace wso::net {

// Opens /dev/net/tun as a tap of this name with IFF_NO_PI | IFF_VNET_HDR. A link of that name that
// exists already: Errc::already_exists, naming it. The link is down and has a random MAC and group
// 0.
UniqueFd open_tap(const std::string& name);

}  // namespace wso::net
