// What a server does at its start with what an earlier one left: domains whose QEMU lives are taken
// over, those whose QEMU has gone are stopped, half-made and half-destroyed ones are removed. To do
// it twice changes nothing.
#include <wso/base/error.hpp>
#include <wso/base/log.hpp>

#include "server_state.hpp"

namespace wso {
namespace {

constexpr milliseconds adopt_limit{2000};

}  // namespace

Task<> Server::State::load() {
  const auto loaded = co_await host.load_records();
  for (const auto& damaged : loaded.damaged) {
    log::error("{} is not read, and is left alone: {}", damaged.path.native(), damaged.problem);
    unreadable.insert(damaged.path.stem());
  }
  for (const auto& [domain_name, contents] : loaded.records) {
    try {
      auto record = domain::parse_record(contents);
      if (record.plan.spec.domain_name != domain_name)
        throw Error(Errc::protocol, "it is the record of {}", record.plan.spec.domain_name);
      domains[domain_name] = Domain{std::move(record), nullptr};
    } catch (const Error& error) {
      log::error("the record of {} is not read, and is left alone: {}", domain_name, error.what());
      unreadable.insert(domain_name);
    }
  }

  TaskGroup work(executor);
  std::vector<domain::DomainPlan> alive;
  std::vector<std::string> halves;
  std::vector<std::string> gone;
  for (const auto& [domain_name, domain] : domains) {
    if (domain.record.state == RunState::stopped) continue;
    if (!domain.has_qemu()) {
      halves.push_back(domain_name);
    } else if (co_await host.find_qemu(domain.record)) {
      alive.push_back(domain.record.plan);
    } else {
      gone.push_back(domain_name);
    }
  }
  // Before the links of unknown domains are swept away, as a QEMU that still runs needs its rules.
  for (const auto& domain_name : halves)
    work.spawn("remove what is left of " + domain_name, remove_half(domain_name));
  co_await work.join();

  co_await host.start_networks(alive);
  for (const auto& plan : alive)
    work.spawn("adopt " + plan.spec.domain_name, adopt(plan.spec.domain_name));
  for (const auto& domain_name : gone)
    work.spawn("settle " + domain_name, settle(domain_name, "QEMU was gone when wsod started"));
  co_await work.join();
  log::info("{} domains taken over, {} stopped, {} removed", alive.size(), gone.size(),
            halves.size());
}

Task<> Server::State::remove_half(std::string domain_name) {
  const domain::DomainRecord record = find(domain_name).record;
  auto done = co_await detail::outcome_of(domain::destroy(host, record));
  if (!done.error) {
    domains.erase(domain_name);
    co_return;
  }
  // It stays in sight, to be destroyed when what is in the way has gone.
  log::error("{}", describe(done.error));
  find(domain_name).record.state = RunState::stopped;
  find(domain_name).record.reason = describe(done.error);
}

Task<> Server::State::adopt(std::string domain_name) {
  const domain::DomainRecord record = find(domain_name).record;
  const auto process = co_await host.find_qemu(record);
  if (!process) {
    co_await settle(domain_name, "QEMU was gone when wsod started");
    co_return;
  }
  // Watched in any case: a QEMU that does not answer now may still end.
  tasks.spawn("watch " + domain_name, watch(domain_name, *process));
  auto connecting =
      qmp::Client::connect("QMP of " + domain_name, record.plan.monitor_path, adopt_limit);
  auto monitor = co_await std::move(connecting);
  const Json answer = co_await monitor->query("query-status");
  Domain& domain = find(domain_name);
  domain.record.state =
      optional_bool(answer, "running", false) ? RunState::running : RunState::paused;
  domain.monitor = std::move(monitor);
  domain.monitor->on_event(
      [this, domain_name](const qmp::Event& event) { follow(domain_name, event); });
}

}  // namespace wso
