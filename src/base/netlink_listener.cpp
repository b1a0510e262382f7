#include <algorithm>

#include <linux/netlink.h>
#include <sys/socket.h>

#include <wso/base/error.hpp>
#include <wso/base/netlink_listener.hpp>

namespace wso {
namespace {

// Room for a burst: a table of some thousand elements that is deleted, or a few hundred links.
constexpr int receive_buffer_bytes = 8 << 20;
// Above the largest message of nf_tables, an attribute of 64 KiB with set elements.
constexpr std::size_t datagram_bytes = 128 << 10;
constexpr int datagrams_at_once = 256;

// What the message occupies, with its padding if that is there; 0 if the length is a lie.
std::size_t step(std::string_view bytes, std::size_t length, std::size_t smallest) {
  if (length < smallest || length > bytes.size()) return 0;
  return std::min<std::size_t>((length + 3) & ~std::size_t{3}, bytes.size());
}

}  // namespace

void for_each_message(std::string_view datagram, const NetlinkVisitor& visit) {
  while (const auto header = value_in<nlmsghdr>(datagram)) {
    const std::size_t size = step(datagram, header->nlmsg_len, sizeof *header);
    if (size == 0) return;
    visit({header->nlmsg_type, header->nlmsg_flags, header->nlmsg_pid,
           datagram.substr(sizeof *header, header->nlmsg_len - sizeof *header)});
    datagram.remove_prefix(size);
  }
}

std::optional<std::string_view> find_attribute(const NetlinkMessage& message,
                                               std::size_t fixed_header_size, int type) {
  std::string_view rest = message.body;
  rest.remove_prefix(std::min<std::size_t>(NLMSG_ALIGN(fixed_header_size), rest.size()));
  while (const auto header = value_in<nlattr>(rest)) {
    const std::size_t size = step(rest, header->nla_len, sizeof *header);
    if (size == 0) return std::nullopt;
    if ((header->nla_type & NLA_TYPE_MASK) == type)
      return rest.substr(sizeof *header, header->nla_len - sizeof *header);
    rest.remove_prefix(size);
  }
  return std::nullopt;
}

NetlinkListener::NetlinkListener(int protocol, std::initializer_list<int> groups)
    : fd_(::socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, protocol)),
      buffer_(datagram_bytes) {
  if (!fd_) throw_errno("open a netlink socket");
  // FORCE goes beyond the system's limit and needs CAP_NET_ADMIN over the whole machine.
  if (::setsockopt(fd_.get(), SOL_SOCKET, SO_RCVBUFFORCE, &receive_buffer_bytes,
                   sizeof receive_buffer_bytes) != 0)
    ::setsockopt(fd_.get(), SOL_SOCKET, SO_RCVBUF, &receive_buffer_bytes,
                 sizeof receive_buffer_bytes);
  sockaddr_nl address{};
  address.nl_family = AF_NETLINK;
  if (::bind(fd_.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) != 0)
    throw_errno("bind a netlink socket");
  for (const int group : groups)
    if (::setsockopt(fd_.get(), SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, &group, sizeof group) != 0)
      throw_errno("listen to the kernel's notifications");
}

bool NetlinkListener::read(const NetlinkVisitor& visit) {
  bool complete = true;
  for (int i = 0; i < datagrams_at_once; ++i) {
    sockaddr_nl sender{};
    socklen_t size = sizeof sender;
    const ssize_t got = ::recvfrom(fd_.get(), buffer_.data(), buffer_.size(), MSG_TRUNC,
                                   reinterpret_cast<sockaddr*>(&sender), &size);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0 && errno == EAGAIN) break;
    if (got < 0 && errno == ENOBUFS) {
      complete = false;
      continue;
    }
    if (got < 0) throw_errno("read the kernel's notifications");
    if (sender.nl_pid != 0) continue;  // a process, not the kernel
    // Of a message that does not fit, the end is missing.
    const auto length = static_cast<std::size_t>(got);
    if (length > buffer_.size()) complete = false;
    for_each_message({buffer_.data(), std::min(length, buffer_.size())}, visit);
  }
  return complete;
}

}  // namespace wso
