// The rtnetlink socket, opened in the network namespace of the calling thread. Everything of
// wso::net goes through one; none of it may be used by two threads at once.
#pragma once

#include <memory>

struct nl_sock;

namespace wso::net {

struct NlSocketCloser {
  void operator()(nl_sock* socket) const;
};
using NlSocket = std::unique_ptr<nl_sock, NlSocketCloser>;

NlSocket open_route_socket();

}  // namespace wso::net
