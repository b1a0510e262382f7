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

UniqueFd make_socket(int flags) {
  UniqueFd fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | flags, 0));
  if (!fd) throw_errno("create a UNIX socket");
  return fd;
}

// To replace what is not a socket would be to destroy somebody's file.
void expect_socket_or_nothing(const fs::path& path) {
  struct stat status {};
  if (::lstat(path.c_str(), &status) != 0) {
    if (errno == ENOENT) return;
    throw_errno(fmt::format("look at {}", path.native()));
  }
  if (!S_ISSOCK(status.st_mode))
    throw Error(Errc::already_exists,
                "{} is there already and is no socket: move it away or choose another path",
                path.native());
}

// sockaddr_un must be passed as its C base: the socket API has no other form.
const sockaddr* generic(const sockaddr_un& address) {
  return reinterpret_cast<const sockaddr*>(&address);
}

}  // namespace

void check_socket_path(const fs::path& path) {
  if (path.empty()) throw Error(Errc::invalid_argument, "a socket needs a path, and this is empty");
  if (path.native().size() >= sizeof(sockaddr_un::sun_path))
    throw Error(Errc::invalid_argument,
                "socket path {} is longer than {} bytes: choose a shorter one", path.native(),
                sizeof(sockaddr_un::sun_path) - 1);
}

UniqueFd listen_unix(const fs::path& path, mode_t mode, std::optional<gid_t> group) {
  // Until it is renamed nobody can find it, and until it listens nobody can connect.
  check_socket_path(path);
  const fs::path temporary = path.native() + ".new";
  const sockaddr_un address = address_of(temporary);
  expect_socket_or_nothing(path);
  expect_socket_or_nothing(temporary);
  UniqueFd fd = make_socket(SOCK_NONBLOCK);
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

UniqueFd connect_unix(const fs::path& path, int flags) {
  const sockaddr_un address = address_of(path);
  UniqueFd fd = make_socket(flags);
  int result = 0;
  do {
    result = ::connect(fd.get(), generic(address), sizeof address);
  } while (result != 0 && errno == EINTR);
  if (result == 0) return fd;
  const int error_number = errno;
  fd.reset();
  errno = error_number;
  return fd;
}

bool answers_unix(const fs::path& path) {
  // EAGAIN: somebody listens whose backlog is full.
  return connect_unix(path, SOCK_NONBLOCK) || errno == EAGAIN;
}

}  // namespace wso
