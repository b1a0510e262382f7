// wsoctl info, version.
#include "commands.hpp"
#include "output.hpp"
#include "table.hpp"

namespace wso::wsoctl {
namespace {

// The field as text, whatever its type: what is only shown need not be understood.
std::string shown(const Json& object, std::string_view key) {
  const Json* value = find_field(object, key);
  if (value == nullptr) return {};
  return value->is_string() ? value->get<std::string>() : dump_json(*value);
}

}  // namespace

ExitStatus show_daemon(Session& session) {
  const Json info = session.client.call("daemon.info");
  if (session.json) {
    print_json(info);
    return done;
  }
  print(format_table({{"VERSION", shown(info, "version")},
                      {"PID", shown(info, "pid")},
                      {"STARTED", format_time(optional_integer(info, "started_at").value_or(0))},
                      {"DOMAINS", shown(info, "n_domains")},
                      {"ACCEL", shown(info, "accel")},
                      {"QEMU", shown(info, "qemu")},
                      {"SUBNET", shown(info, "subnet")},
                      {"GATEWAY", shown(info, "gateway")},
                      {"SOCKET", shown(info, "socket")},
                      {"WORKDIR", shown(info, "workdir")},
                      {"RUNTIME DIR", shown(info, "runtime_dir")},
                      {"DISK DIR", shown(info, "disk_dir")}}));
  return done;
}

ExitStatus print_version(bool json) {
  if (json)
    print_json({{"version", WSO_VERSION}});
  else
    print("wsoctl " WSO_VERSION "\n");
  return done;
}

}  // namespace wso::wsoctl
