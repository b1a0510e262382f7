// Links: look up, make bridges, delete. Each function is one or two netlink requests and throws
// Errc::kernel with the kernel's reason and the name of the link.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include <wso/net/address.hpp>
#include <wso/net/netlink.hpp>

namespace wso::net {

// The link groups (IFLA_GROUP) that mark what is ours; "wso" in ASCII, and the one after it for
// links that are about to be deleted together.
inline constexpr std::uint32_t link_group = 0x77736f;
inline constexpr std::uint32_t dying_link_group = 0x777370;

struct LinkCounters {
  std::uint64_t rx_bytes = 0, rx_packets = 0, tx_bytes = 0, tx_packets = 0;
  bool operator==(const LinkCounters&) const = default;
};

struct Link {
  int index = 0;
  std::string name;
  std::string kind;   // "bridge", "tun", ...; empty for hardware
  std::string alias;  // ifalias; empty if none
  std::uint32_t group = 0;
  int master = 0;         // index of the bridge it is in; 0: none
  bool forwards = false;  // in a bridge whose spanning tree lets packets pass here
  MacAddress mac;
  bool up = false;       // IFF_UP
  bool running = false;  // IFF_RUNNING: carrier
  LinkCounters counters;
};

std::optional<Link> find_link(nl_sock* socket, const std::string& name);
// All links of one group, in a single dump.
std::vector<Link> list_links(nl_sock* socket, std::uint32_t group);

// A bridge with STP and multicast snooping off, its MAC and link group given in the creating
// message (so that udev's MACAddressPolicy leaves the MAC alone). Down. Returns its index.
// A link of that name: Errc::already_exists, naming it.
int create_bridge(nl_sock* socket, const std::string& name, const MacAddress& mac,
                  std::uint32_t group);

void set_alias(nl_sock* socket, int index, const std::string& alias);
void set_group(nl_sock* socket, int index, std::uint32_t group);
void set_mac(nl_sock* socket, int index, const MacAddress& mac);
void enslave(nl_sock* socket, int index, int bridge_index);
void bring_up(nl_sock* socket, int index);

// Spanning tree on an existing bridge (IFLA_BR_STP_STATE). A port that forwards already goes on
// forwarding when it is switched on.
void set_stp(nl_sock* socket, int bridge_index, bool on);
bool stp(nl_sock* socket, int bridge_index);
// Ends the listening and learning of a port that is up, while STP is off: to switch STP off does
// not by itself.
void let_forward(nl_sock* socket, int port_index);

// False if there was none.
bool delete_link(nl_sock* socket, int index);
// Deletes all links of the group in one request; the grace periods of all are waited for together.
void delete_group(nl_sock* socket, std::uint32_t group);

}  // namespace wso::net
