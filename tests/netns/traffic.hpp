// Real packets between a host (the namespace of the test itself), an uplink with servers on it, and
// guests behind bridges of wso. A socket belongs to the namespace it was opened in, whichever the
// thread is in later: one thread plays all parts, and no test waits for what it cannot see.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include <wso/base/unique_fd.hpp>
#include <wso/net/netlink.hpp>
#include <wso/nft/firewall.hpp>

namespace wso::test {

// A network namespace of its own, gone with the object and its sockets.
class Namespace {
 public:
  Namespace();
  [[nodiscard]] std::string path() const;  // for ip's netns arguments

  template <typename Call>
  auto inside(Call call) const {
    const Visit visit(fd_.get());
    return call();
  }

 private:
  class Visit {
   public:
    explicit Visit(int target);
    Visit(const Visit&) = delete;
    Visit& operator=(const Visit&) = delete;
    ~Visit();

   private:
    UniqueFd home_;
  };
  UniqueFd fd_;
};

// The host has 10.9.9.1 on eth0; the uplink 10.9.9.2, and a route to the guests' subnet through the
// host, which has its default route through the uplink.
struct Uplink {
  Uplink();
  ~Uplink();
  Namespace ns;
};

// A bridge "virbr<id>" as wso builds it, with a veth in place of a tap, whose other end is the eth0
// of the guest's namespace.
class Guest {
 public:
  Guest(const std::string& id, const std::string& address, bool may_use_host = true);
  ~Guest();
  Guest(const Guest&) = delete;
  Guest& operator=(const Guest&) = delete;

  Namespace ns;
  nft::Guest rule;
  std::string bridge_mac;

 private:
  net::NlSocket socket_;
  int bridge_ = 0;
};

struct Endpoint {
  std::string address;
  std::uint16_t port = 0;
  bool operator==(const Endpoint&) const = default;
};

// Sockets; port 0 lets the kernel choose. To open one in another namespace: ns.inside().
UniqueFd udp_socket(const Endpoint& local);
UniqueFd tcp_listener(const Endpoint& local);
UniqueFd tcp_client(std::uint16_t source_port = 0);

// TCP. Each waits two seconds at most. What became of the attempt, in words: "connected",
// "refused by TCP", "icmp 3/3 from 10.9.9.1" (a port unreachable), "no answer".
std::string connect(int client, const Endpoint& target);
struct Accepted {
  UniqueFd socket;
  Endpoint peer;  // as the server sees it
};
Accepted accept(int listener);
// The bytes arrive at the other side; false if they do not.
bool carries(int from, int to, const std::string& bytes);

// UDP. The same words as connect(); "sent" if no error came back before the socket was readable.
std::string rejection(int client, const Endpoint& target);
void send_to(int fd, const Endpoint& target, const std::string& bytes);
struct Received {
  std::string bytes;
  Endpoint sender;
};
Received receive(int fd);  // {"", {}} if nothing comes

// A UDP datagram as a raw frame, for what no honest socket sends.
struct Frame {
  std::string source_mac, target_mac;
  Endpoint source, target;
  std::string bytes;
  int vlan_id = -1;          // -1: no tag
  std::size_t fragment = 0;  // not 0: in two fragments, the first with so many bytes of IP payload
};
// Out of eth0 of the current namespace.
void send_frame(const Frame& frame);

// The IPv4 source addresses of everything that has come in on eth0 of the namespace it was made in.
class Sniffer {
 public:
  Sniffer();
  std::vector<std::string> sources();

 private:
  UniqueFd fd_;
};

}  // namespace wso::test
