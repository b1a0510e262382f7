// The part of Server that only looks: at QEMU, at the kernel, at the guests' network.
#include <fstream>

#include <wso/base/error.hpp>
#include <wso/base/log.hpp>
#include <wso/domain/probe.hpp>
#include <wso/guest/netconfig.hpp>
#include <wso/net/counters.hpp>

#include "server_state.hpp"

namespace wso {
namespace {

using LinkCounters = std::map<std::string, net::LinkCounters>;

constexpr milliseconds probe_limit{1000};
constexpr milliseconds wait_probe_limit{250};
constexpr milliseconds wait_pause{50};

std::uint64_t counter(const Json& stats, std::string_view key) {
  return static_cast<std::uint64_t>(integer_field(stats, key));
}

std::vector<DriveCounters> drive_counters(const Json& answer) {
  if (!answer.is_array()) throw Error(Errc::protocol, "query-blockstats did not answer a list");
  std::vector<DriveCounters> drives;
  for (const Json& device : answer) {
    const Json* stats = find_field(device, "stats");
    if (stats == nullptr) throw Error(Errc::protocol, "query-blockstats answered without 'stats'");
    drives.push_back({optional_text(device, "node-name").value_or(""), counter(*stats, "rd_bytes"),
                      counter(*stats, "wr_bytes"), counter(*stats, "rd_operations"),
                      counter(*stats, "wr_operations")});
  }
  return drives;
}

Task<> ask_qemu(qmp::Client& monitor, DomainStatus& status) {
  const Json run_state = co_await monitor.query("query-status");
  const Json cpus = co_await monitor.query("query-cpus-fast");
  const Json drives = co_await monitor.query("query-blockstats");
  status.qemu_status = text_field(run_state, "status");
  status.n_vcpus = cpus.is_array() ? static_cast<int>(cpus.size()) : 0;
  status.drives = drive_counters(drives);
}

Task<> probe(net::Ipv4Address address, DomainCheck& check) {
  check.ping = co_await domain::answers_ping(address, probe_limit);
  check.ssh = co_await domain::answers_ssh(address, probe_limit);
}

Task<> probe_until_answered(net::Ipv4Address address, ProbeKind kind) {
  while (true) {
    auto attempt = kind == ProbeKind::ping ? domain::answers_ping(address, wait_probe_limit)
                                           : domain::answers_ssh(address, wait_probe_limit);
    const bool answered = co_await std::move(attempt);
    if (answered) co_return;
    // A guest that refuses at once is up, and its server will be soon.
    co_await pause_for(wait_pause);
  }
}

NetworkState network_state(const domain::DomainPlan& plan, bool up) {
  return {plan.network_name(),
          plan.spec.domain_name,
          plan.bridge_name(),
          plan.tap_name(),
          net::to_string(plan.subnet),
          net::to_string(plan.gateway),
          net::to_string(plan.address),
          net::to_string(plan.mac),
          up};
}

}  // namespace

Task<> Server::State::ask(std::string domain_name, DomainStatus& status) {
  const auto monitor = find(domain_name).monitor;
  auto asked = co_await detail::outcome_of(ask_qemu(*monitor, status));
  if (!asked.error) co_return;
  status.problem = describe(asked.error);
  if (as_error(asked.error).code() == Errc::timeout)
    set_responsive(domain_name, false, status.problem);
  status.state.state = RunState::unresponsive;
}

std::vector<std::string> Server::State::running(const std::vector<std::string>& names) {
  std::vector<std::string> chosen;
  for (const auto& name : names) {
    if (!find(name).has_qemu())
      throw Error(Errc::invalid_argument, "{} does not run: it is {}", name,
                  wso::name(find(name).record.state));
    chosen.push_back(name);
  }
  if (!names.empty()) return chosen;
  for (const auto& [name, domain] : domains)
    if (domain.has_qemu()) chosen.push_back(name);
  return chosen;
}

Task<std::vector<DomainStatus>> Server::status(std::vector<std::string> names) {
  State& state = *state_;
  if (names.empty())
    for (const auto& [name, domain] : state.domains) names.push_back(name);
  // All are looked up before the first is asked: an unknown name must leave no task behind.
  for (const auto& name : names) state.find(name);
  const LinkCounters links = net::read_link_counters();
  // Sized once: the tasks write into it.
  std::vector<DomainStatus> statuses(names.size());
  TaskGroup asking(state.executor);
  for (std::size_t i = 0; i < names.size(); ++i) {
    const State::Domain& domain = state.find(names[i]);
    DomainStatus& status = statuses[i];
    status.state = state.shown(domain);
    const auto link = links.find(domain.record.plan.tap_name());
    // What the tap receives the guest has sent.
    if (link != links.end())
      status.network = {link->second.tx_bytes, link->second.tx_packets, link->second.rx_bytes,
                        link->second.rx_packets};
    // One that is known not to answer is not waited for again.
    if (domain.monitor && domain.responsive)
      asking.spawn("status of " + names[i], state.ask(names[i], status));
    else if (domain.has_qemu())
      status.problem = "QEMU does not answer";
  }
  co_await asio::this_coro::reset_cancellation_state(asio::disable_cancellation());
  co_await asking.join();
  co_return statuses;
}

Task<std::vector<DomainCheck>> Server::check(std::vector<std::string> names) {
  State& state = *state_;
  const auto chosen = state.running(names);
  std::vector<DomainCheck> checks(chosen.size());
  TaskGroup probing(state.executor);
  for (std::size_t i = 0; i < chosen.size(); ++i) {
    const auto& plan = state.find(chosen[i]).record.plan;
    checks[i].domain_name = chosen[i];
    checks[i].ip_address = net::to_string(plan.address);
    probing.spawn("check " + chosen[i], probe(plan.address, checks[i]));
  }
  co_await asio::this_coro::reset_cancellation_state(asio::disable_cancellation());
  co_await probing.join();
  co_return checks;
}

Task<> Server::State::wait_until_healthy(std::string domain_name, milliseconds limit) {
  if (find(domain_name).health.state() == HealthState::none)
    throw Error(Errc::invalid_argument, "{} has no health check: launch it with one", domain_name);
  const auto decided = [](const Domain& domain) {
    return domain.health.state() == HealthState::healthy ||
           (domain.record.state == RunState::stopped && !domain.record.restart_pending);
  };
  auto what = fmt::format("waiting for {} to be healthy", domain_name);
  co_await with_deadline(std::move(what), limit, wait_until(domain_name, decided));
  if (const Domain& domain = find(domain_name); !domain.has_qemu())
    throw Error(Errc::wrong_state, "{} is {}: {}", domain_name, wso::name(domain.record.state),
                domain.record.reason);
}

Task<milliseconds> Server::wait_for(std::string domain_name, ProbeKind kind, milliseconds limit) {
  State& state = *state_;
  const auto started = Clock::now();
  if (kind == ProbeKind::healthy) {
    co_await state.wait_until_healthy(domain_name, limit);
    co_return std::chrono::duration_cast<milliseconds>(Clock::now() - started);
  }
  state.running({domain_name});
  const net::Ipv4Address address = state.find(domain_name).record.plan.address;
  auto what = fmt::format("{} at {}: waiting for {}", domain_name, net::to_string(address),
                          kind == ProbeKind::ping ? "ping" : "SSH");
  co_await with_deadline(std::move(what), limit, probe_until_answered(address, kind));
  co_return std::chrono::duration_cast<milliseconds>(Clock::now() - started);
}

std::string Server::network_script(std::string_view domain_name) const {
  const auto& plan = state_->find(domain_name).record.plan;
  return guest::network_script(domain::network_config(plan, state_->settings));
}

std::vector<NetworkState> Server::networks() const {
  std::vector<NetworkState> networks;
  for (const auto& [name, domain] : state_->domains)
    networks.push_back(network_state(domain.record.plan, domain.has_qemu()));
  return networks;
}

NetworkState Server::network(std::string_view network_name) const {
  for (const auto& network : networks())
    if (network.network_name == network_name) return network;
  throw Error(Errc::not_found, "there is no network {}", network_name);
}

}  // namespace wso
