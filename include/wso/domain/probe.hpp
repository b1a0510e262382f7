// Whether a guest answers on the network.
#pragma once

#include <wso/base/task.hpp>
#include <wso/net/address.hpp>

namespace wso::domain {

// One ICMP echo request (RFC 792); true if it is answered within the limit. Needs CAP_NET_RAW.
Task<bool> answers_ping(net::Ipv4Address address, milliseconds limit);

// Whether something listens on the TCP port.
Task<bool> accepts_tcp(net::Ipv4Address address, int port, milliseconds limit);

// Whether something on port 22 introduces itself as an SSH server (RFC 4253, section 4.2).
Task<bool> answers_ssh(net::Ipv4Address address, milliseconds limit);

}  // namespace wso::domain
