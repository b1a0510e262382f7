// What the sources of wso::net share: libnl's objects as owning pointers, and the two ways to talk
// to the kernel: ask for one thing and wait for the answer, or dump all objects of a kind.
#pragma once

#include <array>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <netlink/addr.h>
#include <netlink/attr.h>
#include <netlink/msg.h>
#include <netlink/netlink.h>

#include <wso/base/error.hpp>
#include <wso/net/netlink.hpp>

namespace wso::net {

template <auto free_object>
struct NlDeleter {
  void operator()(auto* object) const { free_object(object); }
};

using Message = std::unique_ptr<nl_msg, NlDeleter<nlmsg_free>>;
using NlAddress = std::unique_ptr<nl_addr, NlDeleter<nl_addr_put>>;

// For libnl's own results: 0 or a negative NLE_* value. What the kernel says never comes this way,
// as libnl folds many errno values into one ("Unspecific failure").
void check(int result, std::string_view what);

// A pointer that libnl returns, or null for want of memory.
template <typename T>
T* checked(T* object) {
  if (object == nullptr) throw std::bad_alloc();
  return object;
}

// Attributes by their number; null where there is none.
template <int max>
using Attributes = std::array<nlattr*, max + 1>;

// Empty for null.
std::string text_of(nlattr* attribute);

// The kernel's word on one request: errno and, if it gave one, its own explanation.
struct Answer {
  int error_number = 0;
  std::string explanation;
};

using Visitor = std::function<void(nlmsghdr*)>;

// Sends the request and waits for the acknowledgement; objects in the answer go to `visit`.
Answer ask(nl_sock* socket, nl_msg* request, const Visitor& visit = {});

// Throws the kernel's refusal as "what: Operation not supported (Unknown device type)".
[[noreturn]] void refuse(const Answer& answer, std::string_view what);

// Sends a dump request and feeds each object to `visit`. False if the list changed meanwhile, so
// that objects may be missing or come twice.
bool dump_once(nl_sock* socket, nl_msg* request, std::string_view what, const Visitor& visit);

// A message of this type and fixed header (ifinfomsg, rtmsg, ...), without attributes.
template <typename Header>
Message make_message(int type, int flags, Header header) {
  Message message(checked(nlmsg_alloc_simple(type, flags)));
  check(nlmsg_append(message.get(), &header, sizeof header, NLMSG_ALIGNTO), "build a message");
  return message;
}

// All objects of a kind: those for which `parse` returns a value.
template <typename T, typename Header>
std::vector<T> dump(nl_sock* socket, int type, const Header& header, std::string_view what,
                    const std::function<std::optional<T>(nlmsghdr*)>& parse) {
  constexpr int attempts = 8;
  std::vector<T> found;
  for (int attempt = 0; attempt < attempts; ++attempt) {
    found.clear();
    const Message request = make_message(type, NLM_F_DUMP, header);
    const bool complete = dump_once(socket, request.get(), what, [&](nlmsghdr* object) {
      if (auto value = parse(object)) found.push_back(std::move(*value));
    });
    if (complete) return found;
  }
  throw Error(Errc::busy, "{}: they changed during each of {} attempts to read them: try again",
              what, attempts);
}

// For sentences: the link's name, or "link 7" if it is gone.
std::string name_of(nl_sock* socket, int index);

}  // namespace wso::net
