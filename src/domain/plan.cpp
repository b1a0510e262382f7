#include <array>
#include <memory>

#include <openssl/evp.h>
#include <openssl/rand.h>

#include <wso/base/error.hpp>
#include <wso/domain/plan.hpp>

namespace wso::domain {
namespace {

using Digest = std::array<std::uint8_t, 32>;

constexpr std::size_t id_length = 8;

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

std::filesystem::path DomainPlan::messages_path() const {
  return monitor_path.parent_path() / fmt::format("{}.messages", domain_id);
}

std::filesystem::path DomainPlan::console_log_path() const {
  return log_path.parent_path() / fmt::format("{}.console", spec.domain_name);
}

std::filesystem::path previous_log(const std::filesystem::path& log_path) {
  return log_path.native() + ".old";
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
  return fmt::format("{}-{}-{}-{}-{}", hex(bytes.data(), 4), hex(&bytes[4], 2), hex(&bytes[6], 2),
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
