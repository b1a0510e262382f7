// What a server was configured with, checked; one for all its domains.
#pragma once

#include <chrono>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include <sys/types.h>

#include <wso/net/address.hpp>
#include <wso/server.hpp>

namespace wso::domain {

// How QEMU runs guest code, decided.
struct Acceleration {
  std::string name = "tcg";           // QEMU's own word: "kvm" or "tcg"
  std::optional<gid_t> device_group;  // membership that opens /dev/kvm
};

inline std::filesystem::path records_dir(const std::filesystem::path& workdir) {
  return workdir / "domains";
}

struct Settings {
  std::filesystem::path workdir;
  std::filesystem::path runtime_dir;
  std::filesystem::path disk_dir;
  net::Ipv4Subnet subnet;
  net::Ipv4Address gateway;
  std::vector<std::string> dns_servers;
  bool guest_to_host = true;
  Acceleration acceleration;
  std::string qemu;
  uid_t first_uid = 0;
  std::chrono::milliseconds qemu_start_limit{0};

  [[nodiscard]] std::filesystem::path records_dir() const { return domain::records_dir(workdir); }
  [[nodiscard]] std::filesystem::path log_dir() const { return workdir / "log"; }
};

// Throws Errc::invalid_argument naming the option.
Settings make_settings(const ServerOptions& options);

}  // namespace wso::domain
