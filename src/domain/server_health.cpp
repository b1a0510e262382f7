// Health checks of a domain while its QEMU runs, and what is done about one that is unhealthy.
#include <wso/base/error.hpp>
#include <wso/base/log.hpp>
#include <wso/domain/probe.hpp>

#include "server_state.hpp"

namespace wso {

bool Server::State::expects_answers(const Domain& domain) {
  return domain.record.state == RunState::running && !domain.rebooting();
}

Task<> Server::State::check_health(std::string domain_name) {
  const HealthCheck check = find(domain_name).record.plan.spec.health;
  const net::Ipv4Address address = find(domain_name).record.plan.address;
  co_await pause_for(milliseconds(check.initial_delay_ms));
  while (true) {
    // A guest that is paused or reboots cannot answer, and is not ill.
    if (expects_answers(find(domain_name))) {
      const milliseconds limit(check.timeout_ms);
      auto probing = check.probe == HealthProbe::ping
                         ? domain::answers_ping(address, limit)
                         : domain::accepts_tcp(address, check.port, limit);
      const bool success = co_await std::move(probing);
      Domain& domain = find(domain_name);
      if (expects_answers(domain) && domain.health.observe(success)) {
        const HealthState state = domain.health.state();
        domain.changed->notify();
        emit("domain.health", domain_name, {{"healthcheck_state", name(state)}});
        if (state == HealthState::unhealthy && begin_healing(domain_name)) co_return;
      }
    }
    co_await pause_for(milliseconds(check.interval_ms));
  }
}

bool Server::State::begin_healing(const std::string& domain_name) {
  Domain& domain = find(domain_name);
  domain::DomainRecord record = domain.record;
  const UnhealthyAction action = record.plan.spec.health.on_unhealthy;
  if (action == UnhealthyAction::none) return false;
  record.reason = "unhealthy";
  plan_restart(record, true, since(domain.running_since));
  domain.record.reason = record.reason;
  // Restarted too often: better ill than gone.
  if (!record.restart_pending) return false;
  record.recreate_pending = action == UnhealthyAction::recreate;
  set_state(domain, RunState::stopping);
  // Not in the run's own group, which ends with it.
  tasks.spawn("heal " + domain_name, heal(domain_name, std::move(record)));
  return true;
}

Task<> Server::State::heal(std::string domain_name, domain::DomainRecord record) {
  const std::string reason = record.reason;
  auto halted = co_await detail::outcome_of(halt(domain_name, std::move(record)));
  if (halted.error) log::error("{}: {}", domain_name, describe(halted.error));
  if (Domain& ill = find(domain_name); ill.has_qemu()) {
    // It runs on, and is to be helped when it is found ill anew.
    ill.health = domain::Health(ill.record.plan.spec.health);
    spawn_for_run(ill, "check the health of " + domain_name, check_health(domain_name));
    co_return;
  }
  emit("domain.stopped", domain_name, {{"reason", reason}, {"failed", true}});
  schedule_restart(domain_name);
}

}  // namespace wso
