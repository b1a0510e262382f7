// What the kernel multicasts on netlink: a socket that never waits, and a reader of messages and
// attributes that believes no length it is told.
#pragma once

#include <cstdint>
#include <cstring>
#include <functional>
#include <initializer_list>
#include <optional>
#include <string_view>
#include <vector>

#include <wso/base/unique_fd.hpp>

namespace wso {

struct NetlinkMessage {
  int type = 0;
  int flags = 0;
  std::uint32_t port = 0;  // of the socket whose request caused it; 0: the kernel itself
  std::string_view body;   // the fixed header of its type, and the attributes
};

using NetlinkVisitor = std::function<void(const NetlinkMessage&)>;

// The whole messages in a datagram, up to the first that is cut short.
void for_each_message(std::string_view datagram, const NetlinkVisitor& visit);

// The start of the bytes as a value; nullopt if they are too few.
template <typename T>
std::optional<T> value_in(std::string_view bytes) {
  if (bytes.size() < sizeof(T)) return std::nullopt;
  T value;
  std::memcpy(&value, bytes.data(), sizeof value);
  return value;
}

// The contents of the first attribute of this type behind the message's fixed header; nullopt if
// there is none before the first that is cut short.
std::optional<std::string_view> find_attribute(const NetlinkMessage& message,
                                               std::size_t fixed_header_size, int type);

class NetlinkListener {
 public:
  // In the network namespace of the calling thread. `groups` are numbers such as RTNLGRP_LINK.
  NetlinkListener(int protocol, std::initializer_list<int> groups);

  // Readable when something has come.
  [[nodiscard]] int fd() const { return fd_.get(); }

  // Visits what has come, but no more than a batch, so that a flood cannot hold the caller: the
  // descriptor stays readable while there is more. False if the kernel had to drop messages.
  bool read(const NetlinkVisitor& visit);

 private:
  UniqueFd fd_;
  std::vector<char> buffer_;
};

}  // namespace wso
