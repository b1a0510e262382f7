#include <limits>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <wso/base/error.hpp>
#include <wso/base/unique_fd.hpp>
#include <wso/base/unix_socket.hpp>
#include <wso/domain/settings.hpp>

namespace wso::domain {

namespace fs = std::filesystem;

namespace {

constexpr const char* kvm_device = "/dev/kvm";

// Puts the option's name before whatever is wrong with its value.
template <typename F>
auto read_option(std::string_view option, F read) {
  try {
    return read();
  } catch (const Error& error) {
    throw error.with_context(option);
  }
}

fs::path absolute(const fs::path& path, std::string_view option) {
  if (!path.is_absolute())
    throw Error(Errc::invalid_argument, "{} '{}' must be an absolute path", option, path.native());
  return path.lexically_normal();
}

// QEMU opens /dev/kvm by name, as an unprivileged user: it must be in the device's group, or
// everybody must have access.
std::optional<Acceleration> kvm() {
  const UniqueFd device(::open(kvm_device, O_RDWR | O_CLOEXEC));
  struct stat status {};
  if (!device || ::fstat(device.get(), &status) != 0) return std::nullopt;
  constexpr mode_t group_access = S_IRGRP | S_IWGRP;
  constexpr mode_t all_access = S_IROTH | S_IWOTH;
  if ((status.st_mode & all_access) == all_access) return Acceleration{"kvm", std::nullopt};
  if ((status.st_mode & group_access) == group_access && status.st_gid != 0)
    return Acceleration{"kvm", status.st_gid};
  return std::nullopt;
}

Acceleration choose_acceleration(const std::string& accel) {
  if (accel == "tcg") return {};
  if (accel != "auto" && accel != "kvm")
    throw Error(Errc::invalid_argument, "accel '{}': use auto, kvm or tcg", accel);
  if (const auto found = kvm()) return *found;
  if (accel == "auto") return {};
  throw Error(Errc::invalid_argument,
              "accel 'kvm': {} does not open for a group other than root: load the kvm module and "
              "give the device to the group kvm with mode 0660, or use tcg",
              kvm_device);
}

void check_subnet(const net::Ipv4Subnet& subnet) {
  constexpr int widest = 8;
  constexpr int narrowest = 30;
  if (subnet.prefix_length < widest || subnet.prefix_length > narrowest)
    throw Error(Errc::invalid_argument, "subnet {}: the prefix length must be from {} to {}",
                net::to_string(subnet), widest, narrowest);
  // RFC 6890: this host, loopback, multicast and reserved. No host answers to such an address.
  for (const char* special : {"0.0.0.0/8", "127.0.0.0/8", "224.0.0.0/3"})
    if (net::parse_ipv4_subnet(special).contains(subnet.base))
      throw Error(Errc::invalid_argument,
                  "subnet {} lies in {}, where no guest can have an address: use a private one, "
                  "such as 192.168.100.0/24",
                  net::to_string(subnet), special);
}

void check_gateway(const Settings& settings) {
  const auto& subnet = settings.subnet;
  if (!subnet.contains(settings.gateway) || settings.gateway == subnet.base ||
      settings.gateway == subnet.broadcast())
    throw Error(Errc::invalid_argument, "gateway {} is no host address of subnet {}",
                net::to_string(settings.gateway), net::to_string(subnet));
}

// A domain's user is first_uid + the number of its address in the subnet: none of them may be root,
// or the user that stands for none.
void check_first_uid(uid_t first_uid, const net::Ipv4Subnet& subnet) {
  if (first_uid == 0)
    throw Error(Errc::invalid_argument, "first_uid must not be 0: QEMU does not run as root");
  const uid_t n_users = subnet.broadcast().value - subnet.base.value;
  const uid_t last = std::numeric_limits<uid_t>::max() - 1 - n_users;
  if (first_uid > last)
    throw Error(Errc::invalid_argument, "first_uid {} must be at most {} with subnet {}", first_uid,
                last, net::to_string(subnet));
}

}  // namespace

Settings make_settings(const ServerOptions& options) {
  Settings settings;
  settings.workdir = absolute(options.workdir, "workdir");
  settings.runtime_dir = absolute(options.runtime_dir, "runtime_dir");
  settings.disk_dir = absolute(options.disk_dir, "disk_dir");
  // The longest name in it, so that a launch cannot fail for this reason.
  read_option("runtime_dir",
              [&] { check_socket_path(settings.runtime_dir / "12345678.console.new"); });
  settings.subnet = read_option("subnet", [&] { return net::parse_ipv4_subnet(options.subnet); });
  check_subnet(settings.subnet);
  settings.gateway = read_option("gateway", [&] { return net::parse_ipv4(options.gateway); });
  check_gateway(settings);
  for (const auto& server : options.dns_servers)
    settings.dns_servers.push_back(
        read_option("dns_servers", [&] { return net::to_string(net::parse_ipv4(server)); }));
  if (options.guest_to_host != "allow" && options.guest_to_host != "deny")
    throw Error(Errc::invalid_argument, "guest_to_host '{}': use allow or deny",
                options.guest_to_host);
  settings.guest_to_host = options.guest_to_host == "allow";
  settings.acceleration = choose_acceleration(options.accel);
  settings.qemu = absolute(options.qemu, "qemu");
  check_first_uid(options.first_uid, settings.subnet);
  settings.first_uid = options.first_uid;
  settings.qemu_start_limit = options.qemu_start_limit;
  return settings;
}

}  // namespace wso::domain
