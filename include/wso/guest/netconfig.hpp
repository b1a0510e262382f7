// What a guest is told about its network: a shell script for Alpine and any busybox or Debian-like
// guest. Pure text.
#pragma once

#include <string>
#include <vector>

namespace wso::guest {

struct NetworkConfig {
  std::string domain_name;
  std::string mac_address;  // finds the guest's interface
  std::string ip_address;
  int prefix_length = 24;
  std::string gateway;
  std::vector<std::string> dns_servers;
};

// The script sets address, route and DNS at once and makes them persistent in
// /etc/network/interfaces. It can be run any number of times.
std::string network_script(const NetworkConfig& config);

}  // namespace wso::guest
