// Network settings that netlink does not carry, under /proc/sys/net of the caller's namespace.
#pragma once

#include <string>
#include <string_view>

namespace wso::net {

// key is a path below /proc/sys/net, such as "ipv4/ip_forward". Writes only if it differs.
// False if it did not.
bool set_sysctl(std::string_view key, std::string_view value);
std::string sysctl(std::string_view key);  // without the trailing line break

}  // namespace wso::net
