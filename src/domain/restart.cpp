// Domains that are started again without anybody asking: the back-off, and its limit.
#include <wso/base/error.hpp>
#include <wso/base/log.hpp>

#include "server_state.hpp"

namespace wso {
namespace {

constexpr milliseconds longest_pause{60'000};
// Who has run for so long has not failed to start, and begins anew with the shortest pause.
constexpr milliseconds settled_after{60'000};

milliseconds pause_before(int n_restarts, milliseconds first) {
  milliseconds pause = first;
  for (int i = 1; i < n_restarts && pause < longest_pause; ++i) pause *= 2;
  return std::min(pause, longest_pause);
}

}  // namespace

void Server::State::plan_restart(domain::DomainRecord& record, bool wanted, milliseconds ran_for) {
  record.restart_pending = false;
  if (!wanted) return;
  if (ran_for >= settled_after) record.n_restarts = 0;
  const int limit = record.plan.spec.restart_limit;
  if (record.n_restarts >= limit) {
    record.reason += fmt::format("; not restarted again after {} restarts in a row", limit);
    emit("domain.restart_limit", record.plan.spec.domain_name, {{"n_restarts", limit}});
    return;
  }
  ++record.n_restarts;
  record.restart_pending = true;
}

void Server::State::call_off_restart(Domain& domain) {
  // Its timer may have expired already: who has waited for it looks whether it is still the
  // domain's.
  if (domain.pause) domain.pause->cancel();
  domain.pause.reset();
}

void Server::State::schedule_restart(const std::string& domain_name) {
  Domain& domain = find(domain_name);
  if (domain.record.state != RunState::stopped || !domain.record.restart_pending) return;
  const milliseconds pause = pause_before(domain.record.n_restarts, options.restart_pause);
  domain.pause = std::make_shared<asio::steady_timer>(executor, pause);
  emit("domain.restarting", domain_name,
       {{"n_restarts", domain.record.n_restarts}, {"pause_ms", pause.count()}});
  tasks.spawn("restart " + domain_name, restart_later(domain_name, domain.pause));
}

Task<> Server::State::restart_later(std::string domain_name,
                                    std::shared_ptr<asio::steady_timer> pause) {
  co_await pause->async_wait(asio::use_awaitable);
  Domain* domain = find_if_there(domain_name);
  // Somebody else has started, stopped or destroyed it, or is about to.
  if (domain == nullptr || domain->pause != pause) co_return;
  const bool paused = domain->record.plan.spec.paused;
  auto started = co_await detail::outcome_of(bring_up(domain_name, paused));
  domain = find_if_there(domain_name);
  if (!started.error || domain == nullptr) co_return;
  if (as_error(started.error).code() == Errc::cancelled) std::rethrow_exception(started.error);
  log::error("{}", describe(started.error));
  plan_restart(domain->record, true, milliseconds(0));
  const domain::DomainRecord record = domain->record;
  // Not to be written down is no reason not to be tried again.
  auto recorded = co_await detail::outcome_of(host.write_record(record));
  if (recorded.error) log::error("{}", describe(recorded.error));
  if (find_if_there(domain_name) != nullptr) schedule_restart(domain_name);
}

}  // namespace wso
