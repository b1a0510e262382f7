#include <cstring>

#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <sys/ioctl.h>

#include <wso/base/error.hpp>
#include <wso/net/tap.hpp>

namespace wso::net {
namespace {

constexpr const char* device = "/dev/net/tun";

// The kernel would take an empty name or one with a '%' as a pattern for a name of its choice, and
// would stop reading at a zero byte.
ifreq make_request(const std::string& name) {
  constexpr std::string_view special("%\0", 2);
  if (name.empty() || name.size() >= IFNAMSIZ || name.find_first_of(special) != name.npos)
    throw Error(Errc::invalid_argument, "\"{}\" cannot be the name of a tap", name);
  ifreq request{};
  std::memcpy(request.ifr_name, name.data(), name.size());
  // IFF_TUN_EXCL: never attach to a tap that is there, not even to a persistent one that is free.
  request.ifr_flags = static_cast<short>(IFF_TAP | IFF_NO_PI | IFF_VNET_HDR | IFF_TUN_EXCL);
  return request;
}

UniqueFd open_device() {
  // Blocking: the flag belongs to the open file, which QEMU shares and sets nonblocking itself; the
  // daemon neither reads nor writes it.
  UniqueFd fd(::open(device, O_RDWR | O_CLOEXEC));
  if (!fd && (errno == ENOENT || errno == ENODEV || errno == ENXIO))
    throw Error(Errc::kernel, "{} is not there: load the module tun (modprobe tun)", device);
  if (!fd) throw_errno(fmt::format("open {}", device));
  return fd;
}

}  // namespace

UniqueFd open_tap(const std::string& name) {
  ifreq request = make_request(name);
  UniqueFd fd = open_device();
  if (::ioctl(fd.get(), TUNSETIFF, &request) == 0) return fd;
  switch (errno) {
    case EBUSY:
      throw Error(Errc::already_exists,
                  "a link named {} is there already, and is left alone: remove or rename it", name);
    case EPERM:
      throw Error(Errc::permission, "make the tap {}: run as root (CAP_NET_ADMIN)", name);
    default:
      throw Error(Errc::kernel, "make the tap {}: {}", name, ::strerrordesc_np(errno));
  }
}

}  // namespace wso::net
