#include <cstring>

#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <wso/base/error.hpp>
#include <wso/base/file.hpp>
#include <wso/base/unix_socket.hpp>

namespace wso {

namespace fs = std::filesystem;

namespace {

constexpr int backlog = 128;

sockaddr_un address_of(const fs::path& path) {
  check_socket_path(path);
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::memcpy(address.sun_path, path.c_str(), path.native().size());
  return address;
}

UniqueFd make_socket() {
  UniqueFd fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!fd) throw_errno("create a UNIX socket");
  return fd;
}

// sockaddr_un must be passed as its C base: the socket API has no other form.
const sockaddr* generic(const sockaddr_un& address) {
  return reinterpret_cast<const sockaddr*>(&address);
}

}  // namespace

void check_socket_path(const fs::path& path) {
  if (path.native().size() >= sizeof(sockaddr_un::sun_path))
    throw Error(Errc::invalid_argument,
                "socket path {} is longer than {} bytes: choose a shorter one", path.native(),
                sizeof(sockaddr_un::sun_path) - 1);
}

UniqueFd listen_unix(const fs::path& path, mode_t mode, std::optional<gid_t> group) {
  // Until it is renamed nobody can find it, and until it listens nobody can connect.
  const fs::path temporary = path.native() + ".new";
  const sockaddr_un address = address_of(temporary);
  UniqueFd fd = make_socket();
  ::unlink(temporary.c_str());
  if (::bind(fd.get(), generic(address), sizeof address) != 0)
    throw_errno(fmt::format("bind socket {}", path.native()));
  NewFileGuard guard(temporary);
  if (group && ::chown(temporary.c_str(), static_cast<uid_t>(-1), *group) != 0)
    throw_errno(fmt::format("set the group of socket {}", path.native()));
  if (::chmod(temporary.c_str(), mode) != 0)
    throw_errno(fmt::format("set the mode of socket {}", path.native()));
  if (::listen(fd.get(), backlog) != 0)
    throw_errno(fmt::format("listen on socket {}", path.native()));
  if (::rename(temporary.c_str(), path.c_str()) != 0)
    throw_errno(fmt::format("rename socket to {}", path.native()));
  guard.keep();
  return fd;
}

bool answers_unix(const fs::path& path) {
  const sockaddr_un address = address_of(path);
  const UniqueFd fd = make_socket();
  // EAGAIN: somebody listens whose backlog is full.
  return ::connect(fd.get(), generic(address), sizeof address) == 0 || errno == EAGAIN;
}

}  // namespace wso
