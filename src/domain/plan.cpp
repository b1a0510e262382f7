#include <algorithm>
#include <array>
#include <memory>

#include <openssl/evp.h>
#include <openssl/rand.h>

#include <wso/base/error.hpp>
#include <wso/domain/health.hpp>
#include <wso/domain/plan.hpp>
#include <wso/image/qcow2.hpp>

namespace wso::domain {
namespace {

using Digest = std::array<std::uint8_t, 32>;

constexpr std::size_t id_length = 8;
constexpr std::size_t name_limit = 63;
constexpr int cpu_limit = 255;  // q35 without interrupt remapping
constexpr std::uint64_t min_memory_kib = 16 * 1024;
constexpr std::uint64_t max_memory_kib = 16ULL * 1024 * 1024 * 1024;

Digest sha256(std::string_view text) {
  Digest digest{};
  unsigned int size = 0;
  if (EVP_Digest(text.data(), text.size(), digest.data(), &size, EVP_sha256(), nullptr) != 1 ||
      size != digest.size())
    throw Error(Errc::internal, "SHA-256 is not available from OpenSSL");
  return digest;
}

std::string hex(const std::uint8_t* bytes, std::size_t count) {
  std::string text;
  for (std::size_t i = 0; i < count; ++i) text += fmt::format("{:02x}", bytes[i]);
  return text;
}

bool is_alphanumeric(char c) {
  return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z');
}

std::string choose_id(const std::string& domain_name, const Digest& digest, const Taken& taken) {
  constexpr std::string_view prefix = "wso-";
  const std::size_t start =
      domain_name.starts_with(prefix) && domain_name.size() > prefix.size() ? prefix.size() : 0;
  const std::array<std::string, 2> candidates = {domain_name.substr(start, id_length),
                                                 hex(digest.data(), id_length / 2)};
  for (const auto& id : candidates)
    if (!taken.id(id)) return id;
  throw Error(Errc::already_exists,
              "domain {}: its ids '{}' and '{}' belong to other domains: choose another name",
              domain_name, candidates[0], candidates[1]);
}

net::Ipv4Address choose_address(const Digest& digest, const Settings& settings,
                                const Taken& taken) {
  const std::uint32_t hosts = settings.subnet.broadcast().value - settings.subnet.base.value - 1;
  const std::uint32_t places = hosts - 1;
  const std::uint32_t hash = static_cast<std::uint32_t>(digest[0]) << 24 |
                             static_cast<std::uint32_t>(digest[1]) << 16 |
                             static_cast<std::uint32_t>(digest[2]) << 8 | digest[3];
  for (std::uint32_t step = 0; step < places; ++step) {
    const net::Ipv4Address candidate{settings.subnet.base.value + 2 + (hash + step) % places};
    if (candidate != settings.gateway && !taken.address(candidate)) return candidate;
  }
  throw Error(Errc::busy, "subnet {} is full: destroy a domain, or configure a larger subnet",
              net::to_string(settings.subnet));
}

void check_range(std::string_view what, std::uint64_t value, std::uint64_t min, std::uint64_t max) {
  if (value < min || value > max)
    throw Error(Errc::invalid_argument, "{} is {}, and must be from {} to {}", what, value, min,
                max);
}

}  // namespace

net::MacAddress DomainPlan::tap_mac() const {
  net::MacAddress tap = mac;
  tap.bytes[0] = 0xfe;
  return tap;
}

net::MacAddress DomainPlan::bridge_mac() const {
  net::MacAddress bridge = mac;
  // Locally administered, and never the guest's own.
  bridge.bytes[0] = 0x56;
  return bridge;
}

void validate_domain_name(std::string_view domain_name) {
  const bool valid = !domain_name.empty() && domain_name.size() <= name_limit &&
                     is_alphanumeric(domain_name.front()) &&
                     std::all_of(domain_name.begin(), domain_name.end(), [](char c) {
                       return is_alphanumeric(c) || c == '_' || c == '.' || c == '-';
                     });
  if (!valid)
    throw Error(Errc::invalid_argument,
                "'{}' is no domain name: use 1 to {} letters, digits, '_', '.' and '-', the first "
                "of them a letter or digit",
                domain_name.substr(0, name_limit + 1), name_limit);
}

void validate(const DomainSpec& spec) {
  validate_domain_name(spec.domain_name);
  if (spec.n_cpus < 1 || spec.n_cpus > cpu_limit)
    throw Error(Errc::invalid_argument, "n_cpus is {}, and must be from 1 to {}", spec.n_cpus,
                cpu_limit);
  check_range("memory_kib", spec.memory_kib, min_memory_kib, max_memory_kib);
  check_range("disk_size_bytes", spec.disk_size_bytes, image::min_disk_bytes,
              image::max_disk_bytes);
  if (!spec.iso_path.empty() && !std::filesystem::path(spec.iso_path).is_absolute())
    throw Error(Errc::invalid_argument, "iso_path {} must be an absolute path", spec.iso_path);
  check_range("restart_limit", static_cast<std::uint64_t>(spec.restart_limit), 0, 1'000'000);
  validate(spec.health);
}

DomainPlan make_plan(DomainSpec spec, const Settings& settings, const Taken& taken,
                     std::string uuid) {
  const Digest digest = sha256(spec.domain_name);
  DomainPlan plan;
  plan.domain_id = choose_id(spec.domain_name, digest, taken);
  plan.uuid = std::move(uuid);
  plan.address = choose_address(digest, settings, taken);
  plan.mac.bytes = {0x52, 0x54, 0x00, digest[4], digest[5], digest[6]};
  plan.subnet = settings.subnet;
  plan.gateway = settings.gateway;
  plan.disk_path = settings.disk_dir / fmt::format("wso-{}-disk.qcow2", spec.domain_name);
  plan.script_path = settings.disk_dir / fmt::format("wso-{}-netconfig.sh", spec.domain_name);
  plan.monitor_path = settings.runtime_dir / fmt::format("{}.qmp", plan.domain_id);
  plan.console_path = settings.runtime_dir / fmt::format("{}.console", plan.domain_id);
  plan.log_path = settings.log_dir() / fmt::format("{}.log", spec.domain_name);
  plan.spec = std::move(spec);
  return plan;
}

std::string random_uuid() {
  std::array<std::uint8_t, 16> bytes{};
  if (RAND_bytes(bytes.data(), static_cast<int>(bytes.size())) != 1)
    throw Error(Errc::internal, "OpenSSL has no random numbers");
  // RFC 9562, sections 5.4 and 4.1: version 4, variant 10.
  bytes[6] = static_cast<std::uint8_t>((bytes[6] & 0x0f) | 0x40);
  bytes[8] = static_cast<std::uint8_t>((bytes[8] & 0x3f) | 0x80);
  return fmt::format("{}-{}-{}-{}-{}", hex(&bytes[0], 4), hex(&bytes[4], 2), hex(&bytes[6], 2),
                     hex(&bytes[8], 2), hex(&bytes[10], 6));
}

uid_t uid_of(const DomainPlan& plan, const Settings& settings) {
  return settings.first_uid + (plan.address.value - plan.subnet.base.value);
}

nft::Guest firewall_guest(const DomainPlan& plan, const Settings& settings) {
  return {plan.bridge_name(), net::to_string(plan.mac), net::to_string(plan.address),
          settings.guest_to_host};
}

guest::NetworkConfig network_config(const DomainPlan& plan, const Settings& settings) {
  return {plan.spec.domain_name,     net::to_string(plan.mac),     net::to_string(plan.address),
          plan.subnet.prefix_length, net::to_string(plan.gateway), settings.dns_servers};
}

}  // namespace wso::domain
