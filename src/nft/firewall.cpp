#include <charconv>
#include <filesystem>
#include <set>

#include <fcntl.h>
#include <linux/netlink.h>
#include <nftables/libnftables.h>
#include <sys/socket.h>
#include <unistd.h>

#include <wso/base/unique_fd.hpp>
#include <wso/nft/firewall.hpp>

namespace wso::nft {
namespace {

// libnftables ends the whole process if it cannot open its socket: try before it does.
void expect_netfilter() {
  const UniqueFd probe(::socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_NETFILTER));
  if (!probe && errno == EPROTONOSUPPORT) throw refusal(::strerrordesc_np(errno));
  if (!probe) throw_errno("firewall: open a netlink socket");
}

int option(int fd, int name) {
  int value = -1;
  socklen_t size = sizeof value;
  return ::getsockopt(fd, SOL_SOCKET, name, &value, &size) == 0 ? value : -1;
}

std::set<int> netfilter_sockets() {
  std::set<int> fds;
  std::error_code failure;
  for (const auto& entry : std::filesystem::directory_iterator("/proc/self/fd", failure)) {
    const std::string name = entry.path().filename();
    int fd = -1;
    std::from_chars(name.data(), name.data() + name.size(), fd);
    if (option(fd, SO_DOMAIN) == AF_NETLINK && option(fd, SO_PROTOCOL) == NETLINK_NETFILTER)
      fds.insert(fd);
  }
  if (failure) throw Error(Errc::io, "read /proc/self/fd: {}", failure.message());
  return fds;
}

// Gives the socket a port now; libnftables would leave that to its first message.
std::uint32_t port_of(int fd) {
  sockaddr_nl address{};
  address.nl_family = AF_NETLINK;
  socklen_t size = sizeof address;
  auto* const generic = reinterpret_cast<sockaddr*>(&address);
  if (::bind(fd, generic, size) != 0 || ::getsockname(fd, generic, &size) != 0)
    throw_errno("firewall: bind a netlink socket");
  return address.nl_pid;
}

}  // namespace

void Firewall::Closer::operator()(nft_ctx* context) const { ::nft_ctx_free(context); }

Firewall::Firewall() {
  expect_netfilter();
  const std::set<int> others = netfilter_sockets();
  context_.reset(::nft_ctx_new(NFT_CTX_DEFAULT));
  if (!context_ || ::nft_ctx_buffer_output(context_.get()) != 0 ||
      ::nft_ctx_buffer_error(context_.get()) != 0)
    throw std::bad_alloc();
  // libnftables 1.0.6 opens its socket without close-on-exec and does not tell which one it is. No
  // program that is started later may inherit a socket that can change the firewall.
  for (const int fd : netfilter_sockets()) {
    if (others.contains(fd)) continue;
    ::fcntl(fd, F_SETFD, FD_CLOEXEC);
    port_ = port_of(fd);
  }
}

std::string Firewall::run(const std::string& command, unsigned int output_flags) {
  ::nft_ctx_output_set_flags(context_.get(), output_flags);
  const int result = ::nft_run_cmd_from_buffer(context_.get(), command.c_str());
  // To fetch a buffer also empties it: both, so that nothing is left for the next command.
  std::string printed = ::nft_ctx_get_output_buffer(context_.get());
  const std::string errors = ::nft_ctx_get_error_buffer(context_.get());
  if (result != 0) throw refusal(errors);
  return printed;
}

void Firewall::replace_table(std::string_view subnet, const std::vector<Guest>& guests) {
  run(replace_table_command(subnet, guests));
}

void Firewall::add_guest(const Guest& guest) { run(add_guest_command(guest)); }

bool Firewall::mend_guest(const Guest& guest) {
  // The kernel echoes what it has added, and nothing that was there. To find out by "create" would
  // be a failed transaction, which costs it a grace period of 10 ms.
  return !run(add_guest_command(guest), NFT_CTX_OUTPUT_ECHO).empty();
}

bool Firewall::remove_guest(const Guest& guest) {
  try {
    run(remove_guest_command(guest));
    return true;
  } catch (const Error& error) {
    if (error.code() != Errc::not_found) throw;
  }
  // An element is missing, and the transaction removed none. Nothing to purge without a table.
  try {
    run(purge_guest_command(guest));
  } catch (const Error& error) {
    if (error.code() != Errc::not_found) throw;
  }
  return false;
}

bool Firewall::remove_table() {
  try {
    run("delete table inet wso");
    return true;
  } catch (const Error& error) {
    if (error.code() != Errc::not_found) throw;
    return false;
  }
}

bool Firewall::put_guard(std::uint32_t link_group) {
  // Both lines before the guard itself: whatever an earlier call put there is replaced.
  const std::string text = fmt::format(
      "add table inet wso-guard {{ flags owner; }}\ndelete table inet wso-guard\n"
      "redefine link_group = {}\n{}",
      link_group, guard());
  try {
    run(text);
    return true;
  } catch (const Error& error) {
    if (error.code() != Errc::permission) throw;
  }
  // The kernel gives the same answer to those who may not even read.
  run("list tables");
  return false;
}

void Firewall::remove_guard() {
  try {
    run("delete table inet wso-guard");
  } catch (const Error& error) {
    if (error.code() != Errc::not_found) throw;
  }
}

std::vector<Guest> Firewall::guests() {
  try {
    return guests_in(list_json());
  } catch (const Error& error) {
    if (error.code() != Errc::not_found) throw;
    return {};
  }
}

std::string Firewall::list_json() { return run("list table inet wso", NFT_CTX_OUTPUT_JSON); }

}  // namespace wso::nft
