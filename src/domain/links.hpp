// The links of one domain in the kernel: its tap, its bridge, and what hangs on the bridge.
#pragma once

#include <string>
#include <vector>

#include <wso/domain/plan.hpp>
#include <wso/net/link.hpp>
#include <wso/net/netlink.hpp>

namespace wso::domain {

// Whether the link of the domain's bridge's name is the one that we made, though somebody may have
// changed its group.
bool is_own_bridge(const net::Link& link, const DomainPlan& plan);

// Down, in our group, with nothing on it. Errc::already_exists if there is a link of its name.
int create_bridge(nl_sock* socket, const DomainPlan& plan);

// Compares tap and bridge, which must both be there, with what they are to be, adds what is missing
// and sets right what is wrong. Returns that in words; nothing if all was well. A handful of
// requests, however many links and routes the host has. Errc::wrong_state if the tap is gone, which
// nobody but a new QEMU can mend.
std::vector<std::string> complete_links(nl_sock* socket, const DomainPlan& plan);

}  // namespace wso::domain
