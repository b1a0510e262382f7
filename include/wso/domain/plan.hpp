// All names, addresses and paths of a domain, computed in this one place. Pure.
#pragma once

#include <filesystem>
#include <functional>
#include <string>
#include <string_view>

#include <sys/types.h>

#include <wso/domain.hpp>
#include <wso/domain/settings.hpp>
#include <wso/guest/netconfig.hpp>
#include <wso/net/address.hpp>
#include <wso/nft/firewall.hpp>

namespace wso::domain {

// Decided once, stored for the domain's life.
struct DomainPlan {
  DomainSpec spec;
  std::string domain_id;  // at most 8 characters
  std::string uuid;       // QEMU's -uuid: tells our process from any other
  net::Ipv4Address address;
  net::MacAddress mac;
  net::Ipv4Subnet subnet;  // that of the launch, whatever the configuration says later
  net::Ipv4Address gateway;
  std::filesystem::path disk_path;
  std::filesystem::path script_path;
  std::filesystem::path monitor_path;  // QMP socket
  std::filesystem::path console_path;  // serial console socket
  std::filesystem::path log_path;      // what QEMU prints

  bool operator==(const DomainPlan&) const = default;

  [[nodiscard]] std::string network_name() const { return "wso-net-" + domain_id; }
  [[nodiscard]] std::string bridge_name() const { return "virbr" + domain_id; }
  [[nodiscard]] std::string tap_name() const { return "vnet" + domain_id; }
  // The first byte fe keeps it above the guest's: a bridge would take its lowest port's address.
  [[nodiscard]] net::MacAddress tap_mac() const;
  [[nodiscard]] net::MacAddress bridge_mac() const;
  // The FIFO of what QEMU prints.
  [[nodiscard]] std::filesystem::path messages_path() const;
  // What the guest prints on its console.
  [[nodiscard]] std::filesystem::path console_log_path() const;
};

// Where a log is kept when a new one takes its place.
std::filesystem::path previous_log(const std::filesystem::path& log_path);

// Throws Errc::invalid_argument, naming the field and its bounds.
void validate(const DomainSpec& spec);
void validate_domain_name(std::string_view domain_name);

// What other domains hold already.
struct Taken {
  std::function<bool(const std::string& domain_id)> id;
  std::function<bool(net::Ipv4Address address)> address;
};

// `spec` has been validated. Throws Errc::already_exists if both ids that the name allows are
// taken, Errc::busy if the subnet is full.
DomainPlan make_plan(DomainSpec spec, const Settings& settings, const Taken& taken,
                     std::string uuid);

// A random (version 4) UUID.
std::string random_uuid();

// The user and group that the domain's QEMU runs as: no other domain of this server has it.
uid_t uid_of(const DomainPlan& plan, const Settings& settings);

nft::Guest firewall_guest(const DomainPlan& plan, const Settings& settings);
guest::NetworkConfig network_config(const DomainPlan& plan, const Settings& settings);

}  // namespace wso::domain
