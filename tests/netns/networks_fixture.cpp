#include "networks_fixture.hpp"

#include <array>
#include <functional>

#include <poll.h>
#include <sys/eventfd.h>

#include <wso/base/error.hpp>
#include <wso/net/tap.hpp>

namespace wso::test {

domain::Settings make_settings() {
  domain::Settings settings;
  settings.workdir = "/nowhere";
  settings.runtime_dir = "/nowhere";
  settings.disk_dir = "/nowhere";
  settings.subnet = net::parse_ipv4_subnet("192.168.100.0/24");
  settings.gateway = net::parse_ipv4("192.168.100.1");
  return settings;
}

domain::DomainPlan plan_for(const std::string& domain_name) {
  const domain::Taken nothing_taken{[](const std::string&) { return false; },
                                    [](net::Ipv4Address) { return false; }};
  DomainSpec spec;
  spec.domain_name = domain_name;
  return domain::make_plan(spec, make_settings(), nothing_taken, "uuid");
}

Cable::Cable(UniqueFd tap, const domain::DomainPlan& plan)
    : tap_(std::move(tap)),
      eth0_(ns.inside([] { return net::open_tap("eth0"); })),
      stop_(::eventfd(0, EFD_CLOEXEC)) {
  ns.inside([&] {
    run(
        fmt::format("ip link set eth0 address {} up && ip address add {}/24 dev eth0 && "
                    "ip route add default via 192.168.100.1",
                    net::to_string(plan.mac), net::to_string(plan.address)));
  });
  thread_ = std::thread([this] { carry(); });
}

Cable::~Cable() {
  ::eventfd_write(stop_.get(), 1);
  thread_.join();
}

void Cable::carry() const {
  std::array<char, 65536> frame{};
  const auto move = [&](int from, int to) {
    const ssize_t size = ::read(from, frame.data(), frame.size());
    // A link that is down takes nothing: the frame is lost, as on any wire.
    if (size > 0 && ::write(to, frame.data(), static_cast<std::size_t>(size)) < 0) return;
  };
  std::array<pollfd, 3> polled{
      {{tap_.get(), POLLIN, 0}, {eth0_.get(), POLLIN, 0}, {stop_.get(), POLLIN, 0}}};
  while (::poll(polled.data(), polled.size(), -1) > 0 && polled[2].revents == 0) {
    if ((polled[0].revents & POLLIN) != 0) move(tap_.get(), eth0_.get());
    if ((polled[1].revents & POLLIN) != 0) move(eth0_.get(), tap_.get());
    if (((polled[0].revents | polled[1].revents) & (POLLERR | POLLHUP)) != 0) return;
  }
}

NetworksTest::NetworksTest() : networks_(settings_) {}

NetworksTest::~NetworksTest() {
  networks_.destroy({plan_});
  networks_.stop();
}

Seen NetworksTest::seen(int patience_ms) {
  Seen all;
  std::array<pollfd, 2> polled{
      {{networks_.link_watch().fd(), POLLIN, 0}, {networks_.firewall_watch().fd(), POLLIN, 0}}};
  while (::poll(polled.data(), polled.size(), patience_ms) > 0) {
    patience_ms = 0;
    const net::Damage damage = networks_.link_watch().read();
    all.damage.links.insert(damage.links.begin(), damage.links.end());
    all.damage.rerouted.insert(damage.rerouted.begin(), damage.rerouted.end());
    all.damage.forwarding |= damage.forwarding;
    all.damage.overrun |= damage.overrun;
    all.firewall |= networks_.firewall_watch().read();
  }
  return all;
}

Json NetworksTest::state() {
  const auto changes = [](const std::string& key) {
    return key == "ifindex" || key.find("timer") != key.npos || key.find("topology") != key.npos;
  };
  const std::function<Json(const Json&)> settled = [&](const Json& value) {
    if (!value.is_structured()) return value;
    Json kept = value.is_array() ? Json::array() : Json::object();
    for (const auto& item : value.items()) {
      if (value.is_array())
        kept.push_back(settled(item.value()));
      else if (!changes(item.key()))
        kept[item.key()] = settled(item.value());
    }
    return kept;
  };
  Json all = Json::array();
  for (const auto* command :
       {"ip -j -d link show group 0x77736f", "ip -j -4 address show group 0x77736f",
        "ip -j -4 route show", "ip -j -4 neighbour show nud permanent"})
    all.push_back(settled(run_json(command)));
  return all;
}

Flow::Flow(const Cable& guest, const Uplink& uplink)
    : client(guest.ns.inside([] { return tcp_client(); })) {
  const UniqueFd listener = uplink.ns.inside([] { return tcp_listener({"10.9.9.2", 7000}); });
  const std::string became = connect(client.get(), {"10.9.9.2", 7000});
  if (became != "connected") throw Error(Errc::timeout, "no flow: {}", became);
  server = accept(listener.get()).socket;
}

bool Flow::goes_on() const {
  return carries(server.get(), client.get(), std::string(1000, 'd')) &&
         carries(client.get(), server.get(), "more");
}

std::ostream& operator<<(std::ostream& out, const Seen& seen) {
  return out << fmt::format("links {}; forwarding {}; overrun {}; firewall {}",
                            fmt::join(seen.damage.links, ", "), seen.damage.forwarding,
                            seen.damage.overrun, seen.firewall);
}

}  // namespace wso::test
