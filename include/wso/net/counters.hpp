// The traffic counters of all links, read without waiting for the lock that link changes hold.
#pragma once

#include <map>
#include <string>

#include <wso/net/link.hpp>

namespace wso::net {

// From /proc/self/net/dev: a netlink dump would wait for every deletion under way.
std::map<std::string, LinkCounters> read_link_counters();

}  // namespace wso::net
