#include "nl.hpp"

#include <cstring>
#include <exception>

#include <linux/rtnetlink.h>
#include <netlink/socket.h>
#include <sys/socket.h>

namespace wso::net {
namespace {

// What one request has brought so far. The callbacks are called by C code: an exception is kept
// until that has returned, and the rest of the answer is read all the same.
struct Exchange {
  explicit Exchange(const Visitor& visitor) : visit(visitor) {}

  const Visitor& visit;
  std::uint32_t sequence = 0;
  bool finished = false;
  Answer answer;
  std::exception_ptr failure;
};

using Callbacks = std::unique_ptr<nl_cb, NlDeleter<nl_cb_put>>;

std::string explanation_in(nlmsghdr* header) {
  Attributes<NLMSGERR_ATTR_MAX> attributes{};
  if ((header->nlmsg_flags & NLM_F_ACK_TLVS) == 0 ||
      nlmsg_parse(header, sizeof(nlmsgerr), attributes.data(), NLMSGERR_ATTR_MAX, nullptr) < 0)
    return {};
  return text_of(attributes[NLMSGERR_ATTR_MSG]);
}

int on_object(nl_msg* message, void* argument) {
  auto& exchange = *static_cast<Exchange*>(argument);
  try {
    if (exchange.visit && !exchange.failure) exchange.visit(nlmsg_hdr(message));
  } catch (...) {
    exchange.failure = std::current_exception();
  }
  return NL_OK;
}

int on_end(nl_msg* /*message*/, void* argument) {
  static_cast<Exchange*>(argument)->finished = true;
  return NL_OK;
}

int on_error(sockaddr_nl* /*from*/, nlmsgerr* error, void* argument) {
  auto& exchange = *static_cast<Exchange*>(argument);
  exchange.finished = true;
  exchange.answer.error_number = -error->error;
  try {
    // libnl hands over the payload; the header that tells whether an explanation follows stands
    // right before it.
    exchange.answer.explanation = explanation_in(reinterpret_cast<nlmsghdr*>(error) - 1);
  } catch (...) {
    exchange.failure = std::current_exception();
  }
  return NL_STOP;
}

// An answer to an earlier request, one that was given up in the middle: libnl's own check would
// refuse every later answer on this socket.
int on_sequence_check(nl_msg* message, void* argument) {
  const bool stale = nlmsg_hdr(message)->nlmsg_seq != static_cast<Exchange*>(argument)->sequence;
  return stale ? NL_SKIP : NL_OK;
}

// Returns what nl_recvmsgs() says: negative is an NLE_* value.
int exchange_messages(nl_sock* socket, nl_msg* request, Exchange& exchange) {
  const Callbacks callbacks(checked(nl_cb_alloc(NL_CB_CUSTOM)));
  nl_cb* cb = callbacks.get();
  nl_cb_set(cb, NL_CB_VALID, NL_CB_CUSTOM, on_object, &exchange);
  nl_cb_set(cb, NL_CB_FINISH, NL_CB_CUSTOM, on_end, &exchange);
  nl_cb_set(cb, NL_CB_ACK, NL_CB_CUSTOM, on_end, &exchange);
  nl_cb_set(cb, NL_CB_SEQ_CHECK, NL_CB_CUSTOM, on_sequence_check, &exchange);
  nl_cb_err(cb, NL_CB_CUSTOM, on_error, &exchange);

  check(nl_send_auto(socket, request), "send a netlink request");
  exchange.sequence = nlmsg_hdr(request)->nlmsg_seq;
  int result = 0;
  while (!exchange.finished && result >= 0) result = nl_recvmsgs(socket, cb);
  if (exchange.failure) std::rethrow_exception(exchange.failure);
  return result;
}

}  // namespace

void NlSocketCloser::operator()(nl_sock* socket) const { nl_socket_free(socket); }

NlSocket open_route_socket() {
  NlSocket socket(checked(nl_socket_alloc()));
  check(nl_connect(socket.get(), NETLINK_ROUTE), "open a netlink socket");
  // Both only better the sentences: the kernel's explanation comes with an error, and the request
  // does not come back with it.
  const int on = 1;
  const int fd = nl_socket_get_fd(socket.get());
  ::setsockopt(fd, SOL_NETLINK, NETLINK_EXT_ACK, &on, sizeof on);
  ::setsockopt(fd, SOL_NETLINK, NETLINK_CAP_ACK, &on, sizeof on);
  return socket;
}

std::string text_of(nlattr* attribute) {
  if (attribute == nullptr) return {};
  const char* text = nla_get_string(attribute);
  return {text, ::strnlen(text, static_cast<std::size_t>(nla_len(attribute)))};
}

void check(int result, std::string_view what) {
  if (result < 0) throw Error(Errc::kernel, "{}: {}", what, nl_geterror(result));
}

Answer ask(nl_sock* socket, nl_msg* request, const Visitor& visit) {
  Exchange exchange(visit);
  const int result = exchange_messages(socket, request, exchange);
  if (exchange.answer.error_number == 0) check(result, "read a netlink answer");
  return exchange.answer;
}

void refuse(const Answer& answer, std::string_view what) {
  std::string reason = ::strerrordesc_np(answer.error_number);
  if (!answer.explanation.empty()) reason += fmt::format(" ({})", answer.explanation);
  switch (answer.error_number) {
    case EPERM:
    case EACCES:
      throw Error(Errc::permission, "{}: {}: run as root (CAP_NET_ADMIN)", what, reason);
    case EEXIST:
      throw Error(Errc::already_exists, "{}: {}", what, reason);
    case ENODEV:
      throw Error(Errc::not_found, "{}: {}", what, reason);
    default:
      throw Error(Errc::kernel, "{}: {}", what, reason);
  }
}

bool dump_once(nl_sock* socket, nl_msg* request, std::string_view what, const Visitor& visit) {
  Exchange exchange(visit);
  const int result = exchange_messages(socket, request, exchange);
  if (exchange.answer.error_number != 0) refuse(exchange.answer, what);
  if (result == -NLE_DUMP_INTR) return false;
  check(result, what);
  return true;
}

}  // namespace wso::net
