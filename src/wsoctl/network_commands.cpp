// wsoctl network list, network show.
#include <wso/api/wire.hpp>

#include "commands.hpp"
#include "lists.hpp"
#include "output.hpp"
#include "table.hpp"

namespace wso::wsoctl {

ExitStatus list_networks(Session& session) {
  const Json result = session.client.call("network.list");
  const auto networks = parse_list(result, "networks", api::parse_network_state);
  if (session.json) {
    print_json(result);
    return done;
  }
  std::vector<Row> rows{{"NETWORK", "DOMAIN", "BRIDGE", "TAP", "ADDRESS", "STATE"}};
  for (const NetworkState& network : networks)
    rows.push_back({network.network_name, network.domain_name, network.bridge_name,
                    network.tap_name, network.ip_address, network.up ? "up" : "down"});
  print(format_table(rows));
  return done;
}

ExitStatus show_network(Session& session, const std::string& network_name) {
  const Json result = session.client.call("network.show", {{"network_name", network_name}});
  const NetworkState network = api::parse_network_state(result);
  if (session.json) {
    print_json(result);
    return done;
  }
  print(format_table({{"NETWORK", network.network_name},
                      {"DOMAIN", network.domain_name},
                      {"BRIDGE", network.bridge_name},
                      {"TAP", network.tap_name},
                      {"SUBNET", network.subnet},
                      {"GATEWAY", network.gateway},
                      {"ADDRESS", network.ip_address},
                      {"MAC", network.mac_address},
                      {"STATE", network.up ? "up" : "down"}}));
  return done;
}

}  // namespace wso::wsoctl
