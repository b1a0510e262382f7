// Values that the tests of wso::domain share.
#pragma once

#include <wso/domain/plan.hpp>
#include <wso/domain/record.hpp>

namespace wso::domain::test {

inline Settings make_test_settings() {
  Settings settings;
  settings.workdir = "/var/lib/wso";
  settings.runtime_dir = "/run/wso";
  settings.disk_dir = "/tmp";
  settings.subnet = net::parse_ipv4_subnet("192.168.100.0/24");
  settings.gateway = net::parse_ipv4("192.168.100.1");
  settings.dns_servers = {"8.8.8.8", "8.8.4.4"};
  settings.qemu = "/usr/bin/qemu-system-x86_64";
  settings.first_uid = 1'900'000'000;
  return settings;
}

inline const Taken nothing_taken{[](const std::string&) { return false; },
                                 [](net::Ipv4Address) { return false; }};

inline const std::string uuid = "0f1e2d3c-4b5a-4978-8695-a4b3c2d1e0f0";

inline DomainPlan plan_for(const std::string& domain_name) {
  DomainSpec spec;
  spec.domain_name = domain_name;
  return make_plan(spec, make_test_settings(), nothing_taken, uuid);
}

}  // namespace wso::domain::test
