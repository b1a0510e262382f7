// The verbs of Server on a domain that is there: start, stop, reboot, reset, pause, resume.
#include <wso/base/error.hpp>
#include <wso/base/log.hpp>

#include "server_state.hpp"

namespace wso {

using domain::Verb;

std::optional<domain::Transition> Server::State::expect(const std::string& domain_name, Verb verb,
                                                        bool force) {
  const Domain& domain = find(domain_name);
  if (const auto other = domain.claimed.lock())
    throw Error(Errc::busy, "{} is busy ({} under way): try again when that is done", domain_name,
                domain::name(*other));
  return domain::expect_transition(domain_name, domain.record.state, verb, force);
}

std::shared_ptr<const Verb> Server::State::claim(const std::string& domain_name, Verb verb) {
  auto claim = std::make_shared<const Verb>(verb);
  find(domain_name).claimed = claim;
  return claim;
}

Task<> Server::State::bring_up(std::string domain_name, bool paused) {
  Domain& waiting = find(domain_name);
  call_off_restart(waiting);
  set_state(waiting, RunState::starting);
  domain::DomainRecord record = waiting.record;
  std::exception_ptr failure;
  try {
    const auto place = co_await launch_slots.enter();
    auto running = co_await domain::start(host, record, paused);
    supervise(std::move(running));
  } catch (...) {
    failure = std::current_exception();
  }
  Domain& domain = find(domain_name);
  if (failure) {
    domain.record = std::move(record);
    domain.record.reason = describe(failure);
    set_state(domain, RunState::stopped);
    std::rethrow_exception(failure);
  }
  emit("domain.started", domain_name, {{"state", name(domain.record.state)}});
}

Task<VerbResult> Server::start_domain(std::string domain_name, bool paused) {
  State& state = *state_;
  const auto allowed = state.expect(domain_name, Verb::start);
  if (allowed) {
    State::Domain& domain = state.find(domain_name);
    domain.record.n_restarts = 0;
    domain.record.restart_pending = false;
    co_await state.bring_up(domain_name, paused);
  }
  co_return VerbResult{state.shown(state.find(domain_name)), allowed.has_value()};
}

Task<> Server::State::press_power_button(std::string domain_name, domain::PowerButton pressed_for,
                                         milliseconds limit) {
  const auto monitor = find(domain_name).monitor;
  if (!monitor || !find(domain_name).responsive)
    throw Error(Errc::process, "QEMU does not answer: stop it by force");
  find(domain_name).record.pressed_for = pressed_for;
  Json no_arguments = Json::object();
  co_await monitor->execute("system_powerdown", std::move(no_arguments),
                            std::min(limit, qmp::command_limit));
}

Task<> Server::State::wait_until(std::string domain_name,
                                 std::function<bool(const Domain&)> reached) {
  while (!reached(find(domain_name))) {
    const auto changed = find(domain_name).changed;
    co_await changed->wait();
  }
}

// The first part of a stop, while which the guest may still refuse: after a failure the domain runs
// as before.
Task<> Server::State::power_down(std::string domain_name, bool force, milliseconds limit) {
  if (limit.count() > 0) {
    const auto off = [](const Domain& domain) { return domain.guest_is_off; };
    const auto deadline = Clock::now() + limit;
    auto pressing = press_power_button(domain_name, domain::PowerButton::stop, limit);
    auto pressed = co_await detail::outcome_of(std::move(pressing));
    const auto left = std::chrono::ceil<milliseconds>(deadline - Clock::now());
    if (!pressed.error && left.count() > 0) {
      auto waiting = with_deadline("power-off", left, wait_until(domain_name, off));
      pressed = co_await detail::outcome_of(std::move(waiting));
    }
    if (pressed.error) {
      const Errc why = as_error(pressed.error).code();
      // By force it is ended whatever it answers, but not by a daemon that is about to end itself.
      if (why == Errc::cancelled || (!force && why != Errc::timeout)) pressed.get();
    }
  }
  if (force || find(domain_name).guest_is_off) co_return;
  throw Error(Errc::timeout,
              "the guest has not powered off within {} ms: it may ignore the power button; try a "
              "longer timeout, or force",
              limit.count());
}

// In doubt it does.
Task<bool> Server::State::may_live(domain::DomainRecord record) {
  auto found = co_await detail::outcome_of(host.find_qemu(record));
  co_return found.error || found.get().has_value();
}

// The second part, in which nothing is asked any more.
Task<> Server::State::halt(std::string domain_name, domain::DomainRecord record) {
  const RunState before = record.state;
  const bool is_off = find(domain_name).guest_is_off;
  auto halted = co_await detail::outcome_of(domain::halt(host, record, is_off));
  bool alive = false;
  if (halted.error) alive = co_await may_live(record);
  Domain& domain = find(domain_name);
  if (halted.error) {
    std::string reason = describe(halted.error);
    if (!alive) {
      if (!record.reason.empty()) reason = record.reason + "; " + reason;
      domain.record = std::move(record);
      domain.record.qemu = {};
    }
    domain.record.reason = std::move(reason);
  } else {
    domain.record = halted.get();
  }
  if (!alive) release(domain);
  set_state(domain, alive && domain::has_qemu(before) ? before : RunState::stopped);
  if (halted.error) std::rethrow_exception(halted.error);
}

Task<> Server::State::stop(std::string domain_name, bool force, milliseconds limit,
                           std::string reason) {
  const domain::DomainRecord before = find(domain_name).record;
  set_state(find(domain_name), RunState::stopping);
  domain::DomainRecord stopping = find(domain_name).record;
  stopping.reason = std::move(reason);
  stopping.restart_pending = false;
  stopping.pressed_for = domain::PowerButton::stop;
  // A guest that is paused does not see its power button.
  if (before.state == RunState::paused) limit = milliseconds(0);
  const auto ask_guest = [this, &domain_name, &before, &stopping, force,
                          limit](Rollback& rollback) -> Task<> {
    rollback.add("record that it runs", [&] { return record_state(domain_name, before.state); });
    co_await host.write_record(stopping);
    co_await power_down(domain_name, force, limit);
  };
  co_await with_rollback<void>("stop " + domain_name, ask_guest);
  // What comes now is not called off any more, nor is it skipped.
  co_await asio::this_coro::reset_cancellation_state(asio::disable_cancellation());
  stopping.state = before.state;
  co_await halt(domain_name, std::move(stopping));
  emit("domain.stopped", domain_name,
       {{"reason", find(domain_name).record.reason}, {"failed", false}});
}

Task<> Server::State::record_state(std::string domain_name, RunState state) {
  Domain& domain = find(domain_name);
  set_state(domain, state);
  const domain::DomainRecord record = domain.record;
  auto recorded = co_await detail::outcome_of(host.write_record(record));
  // What ended while its verb was in charge had nobody else to notice.
  if (find(domain_name).guest_is_off && find(domain_name).has_qemu())
    guest_off(domain_name, "the guest has powered off", false);
  recorded.get();
}

Task<VerbResult> Server::stop_domain(std::string domain_name, bool force, milliseconds limit) {
  State& state = *state_;
  const auto allowed = state.expect(domain_name, Verb::stop, force);
  if (allowed) co_await state.stop(domain_name, force, limit, "stopped on request");
  State::Domain& stopped = state.find(domain_name);
  // Whoever stops it does not want it back.
  const bool was_to_restart = stopped.record.restart_pending;
  if (was_to_restart) {
    stopped.record.restart_pending = false;
    State::call_off_restart(stopped);
    const domain::DomainRecord record = stopped.record;
    co_await state.host.write_record(record);
  }
  co_return VerbResult{state.shown(state.find(domain_name)), allowed || was_to_restart};
}

Task<VerbResult> Server::reboot_domain(std::string domain_name, milliseconds limit) {
  State& state = *state_;
  state.expect(domain_name, Verb::reboot);
  const auto claim = state.claim(domain_name, Verb::reboot);
  const auto deadline = Clock::now() + limit;
  const auto press = [&state, &domain_name, limit](Rollback& rollback) -> Task<> {
    domain::DomainRecord record = state.find(domain_name).record;
    record.pressed_for = domain::PowerButton::reboot;
    co_await state.host.write_record(record);
    rollback.add("record what it was pressed for", [&] { return state.record_as_is(domain_name); });
    co_await state.press_power_button(domain_name, record.pressed_for, limit);
  };
  co_await with_rollback<void>("reboot " + domain_name, press);
  const auto anew = [](const State::Domain& domain) {
    return domain.record.pressed_for == domain::PowerButton::none || !domain.has_qemu();
  };
  const auto left = std::chrono::ceil<milliseconds>(deadline - Clock::now());
  auto waiting = with_deadline("power-off", left, state.wait_until(domain_name, anew));
  auto waited = co_await detail::outcome_of(std::move(waiting));
  if (waited.error && as_error(waited.error).code() == Errc::timeout)
    throw Error(Errc::timeout,
                "{} has not powered off and come up again within {} ms: it may ignore the power "
                "button, or comes up when it does power off; try reset",
                domain_name, limit.count());
  waited.get();
  if (!state.find(domain_name).has_qemu())
    throw Error(Errc::process, "{} has ended instead: {}", domain_name,
                state.find(domain_name).record.reason);
  co_return VerbResult{state.shown(state.find(domain_name)), true};
}

Task<> Server::State::command(std::string domain_name, std::string qmp_command) {
  const auto monitor = find(domain_name).monitor;
  if (!monitor)
    throw Error(Errc::timeout, "QEMU of {} does not answer: stop it by force", domain_name);
  Json no_arguments = Json::object();
  auto done = monitor->execute(std::move(qmp_command), std::move(no_arguments), qmp::query_limit);
  auto outcome = co_await detail::outcome_of(std::move(done));
  if (outcome.error && as_error(outcome.error).code() == Errc::timeout)
    set_responsive(domain_name, false, describe(outcome.error));
  outcome.get();
}

// Recorded first: what cannot be recorded is not done.
Task<> Server::State::switch_vcpus(std::string domain_name, std::string qmp_command,
                                   RunState after) {
  const auto steps = [this, &domain_name, &qmp_command, after](Rollback& rollback) -> Task<> {
    domain::DomainRecord record = find(domain_name).record;
    record.state = after;
    co_await host.write_record(record);
    rollback.add("record that nothing has changed", [&] { return record_as_is(domain_name); });
    co_await command(domain_name, qmp_command);
  };
  co_await with_rollback<void>(domain_name, steps);
  Domain& domain = find(domain_name);
  if (domain.has_qemu()) set_state(domain, after);
}

// A domain whose QEMU ends meanwhile is recorded by who sees to its end.
Task<> Server::State::record_as_is(std::string domain_name) {
  if (!find(domain_name).has_qemu()) co_return;
  const domain::DomainRecord record = find(domain_name).record;
  co_await host.write_record(record);
}

Task<VerbResult> Server::reset_domain(std::string domain_name) {
  State& state = *state_;
  state.expect(domain_name, Verb::reset);
  const auto claim = state.claim(domain_name, Verb::reset);
  co_await state.command(domain_name, "system_reset");
  co_return VerbResult{state.shown(state.find(domain_name)), true};
}

Task<VerbResult> Server::pause_domain(std::string domain_name) {
  State& state = *state_;
  const auto allowed = state.expect(domain_name, Verb::pause);
  const auto claim = state.claim(domain_name, Verb::pause);
  if (allowed) co_await state.switch_vcpus(domain_name, "stop", allowed->after);
  co_return VerbResult{state.shown(state.find(domain_name)), allowed.has_value()};
}

Task<VerbResult> Server::resume_domain(std::string domain_name) {
  State& state = *state_;
  const auto allowed = state.expect(domain_name, Verb::resume);
  const auto claim = state.claim(domain_name, Verb::resume);
  if (allowed) co_await state.switch_vcpus(domain_name, "cont", allowed->after);
  co_return VerbResult{state.shown(state.find(domain_name)), allowed.has_value()};
}

}  // namespace wso
