// Written and read attribute by attribute: libnl-route 3.7 knows no option of a bridge and no
// deletion by group, and one attribute that it cannot read, of whosever link, fails its whole dump.
#include <linux/if_bridge.h>
#include <linux/if_link.h>
#include <linux/rtnetlink.h>
#include <net/if.h>

#include <wso/net/link.hpp>

#include "nl.hpp"

namespace wso::net {
namespace {

Message link_message(int type, int flags, int index) {
  ifinfomsg header{};
  header.ifi_family = AF_UNSPEC;
  header.ifi_index = index;
  return make_message(type, flags, header);
}

void put(const Message& message, int attribute, const void* data, std::size_t size) {
  check(nla_put(message.get(), attribute, static_cast<int>(size), data), "build a link message");
}

void put(const Message& message, int attribute, std::uint32_t value) {
  put(message, attribute, &value, sizeof value);
}

void put(const Message& message, int attribute, const std::string& text) {
  put(message, attribute, text.c_str(), text.size() + 1);
}

// IFLA_LINKINFO of a bridge; `put_options` writes what stands in its IFLA_INFO_DATA.
template <typename PutOptions>
void put_bridge_options(const Message& message, const PutOptions& put_options) {
  nlattr* info = checked(nla_nest_start(message.get(), IFLA_LINKINFO));
  put(message, IFLA_INFO_KIND, "bridge");
  nlattr* data = checked(nla_nest_start(message.get(), IFLA_INFO_DATA));
  put_options();
  nla_nest_end(message.get(), data);
  nla_nest_end(message.get(), info);
}

void change(nl_sock* socket, const Message& message, std::string_view what, int index) {
  const Answer answer = ask(socket, message.get());
  if (answer.error_number != 0)
    refuse(answer, fmt::format("{} of {}", what, name_of(socket, index)));
}

template <typename Value>
void change_attribute(nl_sock* socket, int index, int attribute, const Value& value,
                      std::string_view what) {
  const Message message = link_message(RTM_NEWLINK, 0, index);
  put(message, attribute, value);
  change(socket, message, what, index);
}

void parse_attributes(nlmsghdr* header, Attributes<IFLA_MAX>& attributes) {
  check(nlmsg_parse(header, sizeof(ifinfomsg), attributes.data(), IFLA_MAX, nullptr),
        "read a link");
}

std::uint32_t number_of(nlattr* attribute) {
  return attribute != nullptr ? nla_get_u32(attribute) : 0;
}

Attributes<IFLA_INFO_MAX> link_info(nlattr* info) {
  Attributes<IFLA_INFO_MAX> attributes{};
  if (info != nullptr)
    check(nla_parse_nested(attributes.data(), IFLA_INFO_MAX, info, nullptr), "read a link");
  return attributes;
}

bool port_forwards(nlattr* port) {
  Attributes<IFLA_BRPORT_MAX> attributes{};
  if (port != nullptr)
    check(nla_parse_nested(attributes.data(), IFLA_BRPORT_MAX, port, nullptr), "read a port");
  nlattr* state = attributes[IFLA_BRPORT_STATE];
  return state != nullptr && nla_get_u8(state) == BR_STATE_FORWARDING;
}

LinkCounters parse_counters(nlattr* attribute) {
  rtnl_link_stats64 stats{};
  if (attribute != nullptr) nla_memcpy(&stats, attribute, sizeof stats);
  return {stats.rx_bytes, stats.rx_packets, stats.tx_bytes, stats.tx_packets};
}

Link parse_link(nlmsghdr* header) {
  Attributes<IFLA_MAX> attributes{};
  parse_attributes(header, attributes);
  const auto* fixed = static_cast<const ifinfomsg*>(nlmsg_data(header));
  Link link;
  link.index = fixed->ifi_index;
  link.name = text_of(attributes[IFLA_IFNAME]);
  const auto info = link_info(attributes[IFLA_LINKINFO]);
  link.kind = text_of(info[IFLA_INFO_KIND]);
  if (text_of(info[IFLA_INFO_SLAVE_KIND]) == "bridge")
    link.forwards = port_forwards(info[IFLA_INFO_SLAVE_DATA]);
  link.alias = text_of(attributes[IFLA_IFALIAS]);
  link.group = number_of(attributes[IFLA_GROUP]);
  link.master = static_cast<int>(number_of(attributes[IFLA_MASTER]));
  if (nlattr* mac = attributes[IFLA_ADDRESS]; mac != nullptr)
    nla_memcpy(link.mac.bytes.data(), mac, static_cast<int>(link.mac.bytes.size()));
  link.up = (fixed->ifi_flags & IFF_UP) != 0;
  link.running = (fixed->ifi_flags & IFF_RUNNING) != 0;
  link.counters = parse_counters(attributes[IFLA_STATS64]);
  return link;
}

std::optional<Link> query(nl_sock* socket, const Message& request, std::string_view what) {
  std::optional<Link> link;
  const Answer answer =
      ask(socket, request.get(), [&](nlmsghdr* header) { link = parse_link(header); });
  if (answer.error_number == ENODEV) return std::nullopt;
  if (answer.error_number != 0) refuse(answer, what);
  return link;
}

}  // namespace

std::optional<Link> find_link(nl_sock* socket, const std::string& name) {
  const Message request = link_message(RTM_GETLINK, 0, 0);
  put(request, IFLA_IFNAME, name);
  return query(socket, request, fmt::format("look up the link {}", name));
}

std::string name_of(nl_sock* socket, int index) {
  const Message request = link_message(RTM_GETLINK, 0, index);
  const auto link = query(socket, request, fmt::format("look up link {}", index));
  return link ? link->name : fmt::format("link {}", index);
}

std::vector<Link> list_links(nl_sock* socket, std::uint32_t group) {
  return dump<Link>(socket, RTM_GETLINK, ifinfomsg{}, "list the links",
                    [group](nlmsghdr* header) -> std::optional<Link> {
                      Attributes<IFLA_MAX> attributes{};
                      parse_attributes(header, attributes);
                      if (number_of(attributes[IFLA_GROUP]) != group) return std::nullopt;
                      return parse_link(header);
                    });
}

int create_bridge(nl_sock* socket, const std::string& name, const MacAddress& mac,
                  std::uint32_t group) {
  const Message message = link_message(RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, 0);
  put(message, IFLA_IFNAME, name);
  put(message, IFLA_ADDRESS, mac.bytes.data(), mac.bytes.size());
  put(message, IFLA_GROUP, group);
  put_bridge_options(message, [&] {
    // STP: see set_stp(). Snooping would keep multicast from a guest that the bridge has not heard
    // a membership report of, and costs the kernel a timer and a querier per bridge.
    put(message, IFLA_BR_STP_STATE, std::uint32_t{0});
    const std::uint8_t off = 0;
    put(message, IFLA_BR_MCAST_SNOOPING, &off, sizeof off);
  });
  const Answer answer = ask(socket, message.get());
  if (answer.error_number == EEXIST)
    throw Error(Errc::already_exists,
                "a link named {} is there already, and is left alone: remove or rename it", name);
  if (answer.error_number == EOPNOTSUPP)
    refuse(answer, fmt::format("create the bridge {} (is the module bridge loaded?)", name));
  if (answer.error_number != 0) refuse(answer, fmt::format("create the bridge {}", name));
  const auto link = find_link(socket, name);
  if (!link) throw Error(Errc::kernel, "the bridge {} was removed as soon as it was made", name);
  return link->index;
}

void set_alias(nl_sock* socket, int index, const std::string& alias) {
  change_attribute(socket, index, IFLA_IFALIAS, alias, "set the alias");
}

void set_group(nl_sock* socket, int index, std::uint32_t group) {
  change_attribute(socket, index, IFLA_GROUP, group, "set the group");
}

void set_mac(nl_sock* socket, int index, const MacAddress& mac) {
  const Message message = link_message(RTM_NEWLINK, 0, index);
  put(message, IFLA_ADDRESS, mac.bytes.data(), mac.bytes.size());
  change(socket, message, "set the MAC address", index);
}

void enslave(nl_sock* socket, int index, int bridge_index) {
  change_attribute(socket, index, IFLA_MASTER, static_cast<std::uint32_t>(bridge_index),
                   "set the bridge");
}

void bring_up(nl_sock* socket, int index) {
  ifinfomsg header{};
  header.ifi_index = index;
  header.ifi_flags = IFF_UP;
  header.ifi_change = IFF_UP;
  change(socket, make_message(RTM_NEWLINK, 0, header), "bring up", index);
}

void set_stp(nl_sock* socket, int bridge_index, bool on) {
  const Message message = link_message(RTM_NEWLINK, 0, bridge_index);
  put_bridge_options(message, [&] { put(message, IFLA_BR_STP_STATE, std::uint32_t{on}); });
  change(socket, message, "switch the spanning tree", bridge_index);
}

void let_forward(nl_sock* socket, int port_index) {
  const Message message = link_message(RTM_NEWLINK, 0, port_index);
  nlattr* info = checked(nla_nest_start(message.get(), IFLA_LINKINFO));
  put(message, IFLA_INFO_SLAVE_KIND, "bridge");
  nlattr* data = checked(nla_nest_start(message.get(), IFLA_INFO_SLAVE_DATA));
  const std::uint8_t state = BR_STATE_FORWARDING;
  put(message, IFLA_BRPORT_STATE, &state, sizeof state);
  nla_nest_end(message.get(), data);
  nla_nest_end(message.get(), info);
  change(socket, message, "set the port state", port_index);
}

bool stp(nl_sock* socket, int bridge_index) {
  std::uint32_t state = 0;
  const Message request = link_message(RTM_GETLINK, 0, bridge_index);
  const Answer answer = ask(socket, request.get(), [&](nlmsghdr* header) {
    Attributes<IFLA_MAX> attributes{};
    parse_attributes(header, attributes);
    nlattr* data = link_info(attributes[IFLA_LINKINFO])[IFLA_INFO_DATA];
    Attributes<IFLA_BR_MAX> options{};
    if (data != nullptr)
      check(nla_parse_nested(options.data(), IFLA_BR_MAX, data, nullptr), "read a bridge");
    state = number_of(options[IFLA_BR_STP_STATE]);
  });
  if (answer.error_number != 0)
    refuse(answer,
           fmt::format("read the spanning tree state of {}", name_of(socket, bridge_index)));
  return state != 0;
}

bool delete_link(nl_sock* socket, int index) {
  const Message message = link_message(RTM_DELLINK, 0, index);
  const Answer answer = ask(socket, message.get());
  if (answer.error_number == ENODEV) return false;
  if (answer.error_number != 0) refuse(answer, "delete " + name_of(socket, index));
  return true;
}

void delete_group(nl_sock* socket, std::uint32_t group) {
  const Message message = link_message(RTM_DELLINK, 0, 0);
  put(message, IFLA_GROUP, group);
  const Answer answer = ask(socket, message.get());
  // The kernel's word for a group without links.
  if (answer.error_number != 0 && answer.error_number != ENODEV)
    refuse(answer, fmt::format("delete the links of group {:#x}", group));
}

}  // namespace wso::net
