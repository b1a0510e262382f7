// The part of Server that hands out what goes on: events, consoles, logs.
#include <wso/base/error.hpp>
#include <wso/domain/console.hpp>
#include <wso/domain/log_reader.hpp>

#include "server_state.hpp"

namespace wso {

Task<EventBatch> Server::next_events(std::int64_t after) { return state_->events.next(after); }

std::int64_t Server::last_event() const { return state_->events.last(); }

std::shared_ptr<domain::Console> Server::console(std::string_view domain_name) const {
  const State::Domain& domain = state_->find(domain_name);
  if (!domain.console)
    throw Error(Errc::invalid_argument, "{} is {} and has no console: read its log (wsoctl logs)",
                domain_name, name(domain.record.state));
  return domain.console;
}

Task<std::shared_ptr<domain::LogReader>> Server::open_log(std::string domain_name, LogSource source,
                                                          domain::LogRange range) {
  const domain::DomainPlan& plan = state_->find(domain_name).record.plan;
  auto path = source == LogSource::console ? plan.console_log_path() : plan.log_path;
  auto reader =
      std::make_shared<domain::LogReader>(state_->executor, state_->worker, std::move(path), range);
  co_await reader->open();
  co_return reader;
}

}  // namespace wso
