#include <charconv>
#include <filesystem>

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

// libnftables 1.0.6 opens its socket without close-on-exec and does not tell which one it is. No
// program that is started later may inherit a socket that can change the firewall.
void close_netfilter_sockets_on_exec() {
  std::error_code failure;
  for (const auto& entry : std::filesystem::directory_iterator("/proc/self/fd", failure)) {
    const std::string name = entry.path().filename();
    int fd = -1;
    std::from_chars(name.data(), name.data() + name.size(), fd);
    if (option(fd, SO_DOMAIN) == AF_NETLINK && option(fd, SO_PROTOCOL) == NETLINK_NETFILTER)
      ::fcntl(fd, F_SETFD, FD_CLOEXEC);
  }
  if (failure) throw Error(Errc::io, "read /proc/self/fd: {}", failure.message());
}

}  // namespace

void Firewall::Closer::operator()(nft_ctx* context) const { ::nft_ctx_free(context); }

Firewall::Firewall() {
  expect_netfilter();
  context_.reset(::nft_ctx_new(NFT_CTX_DEFAULT));
  if (!context_ || ::nft_ctx_buffer_output(context_.get()) != 0 ||
      ::nft_ctx_buffer_error(context_.get()) != 0)
    throw std::bad_alloc();
  close_netfilter_sockets_on_exec();
}

std::string Firewall::run(const std::string& command) {
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

std::string Firewall::list_json() {
  struct PlainAgain {
    nft_ctx* context;
    ~PlainAgain() { ::nft_ctx_output_set_flags(context, 0); }
  };
  const PlainAgain plain_again{context_.get()};
  ::nft_ctx_output_set_flags(context_.get(), NFT_CTX_OUTPUT_JSON);
  return run("list table inet wso");
}

}  // namespace wso::nft
