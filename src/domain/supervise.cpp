// A domain while its QEMU runs: who watches the process, holds the monitor and follows what QEMU
// tells; and what is done when it ends by itself.
#include <algorithm>
#include <array>
#include <csignal>

#include <wso/base/error.hpp>
#include <wso/base/log.hpp>
#include <wso/domain/messages.hpp>

#include "server_state.hpp"

namespace wso {
namespace {

// Whether a QEMU hangs nothing tells; so all are asked, rarely enough to cost nothing, and some at
// a time: a wake-up costs more than a question, and a client need not wait for a thousand answers.
constexpr milliseconds heartbeat{30'000};
constexpr std::size_t asked_at_once = 16;
constexpr milliseconds between_questions{100};
constexpr milliseconds patience = std::chrono::hours(24 * 365);
constexpr milliseconds first_reconnect{100};
constexpr milliseconds last_reconnect{30'000};
constexpr milliseconds last_words{2000};

// Of QEMU's events those that tell users something the domain's own events do not.
constexpr std::array<std::string_view, 7> notable_events{
    "BLOCK_IO_ERROR",           "BLOCK_IMAGE_CORRUPTED", "GUEST_PANICKED",
    "GUEST_CRASHLOADED",        "MEMORY_FAILURE",        "WATCHDOG",
    "DEVICE_UNPLUG_GUEST_ERROR"};

Task<> join(std::shared_ptr<TaskGroup> run) {
  co_await asio::this_coro::reset_cancellation_state(asio::disable_cancellation());
  co_await run->join();
}

}  // namespace

// What a guest can cause at will must not drown the events of others.
bool Server::State::floods(Domain& domain) {
  constexpr milliseconds apart{100};
  if (since(domain.last_guest_event) < apart) return true;
  domain.last_guest_event = Clock::now();
  return false;
}

void Server::State::supervise(domain::RunningDomain running) {
  const std::string domain_name = running.record.plan.spec.domain_name;
  Domain& domain = find(domain_name);
  domain.record = std::move(running.record);
  domain.run = std::make_shared<TaskGroup>(executor);
  const domain::DomainPlan& plan = domain.record.plan;
  domain.console = domain::Console::open(tasks, worker, domain_name, plan.console_path,
                                         plan.console_log_path(), std::move(running.qemu.console));
  if (running.qemu.messages)
    spawn_for_run(domain, "keep the messages of " + domain_name,
                  domain::keep_messages(worker, std::move(running.qemu.messages), plan.log_path));
  domain.running_since = Clock::now();
  domain.health = domain::Health(domain.record.plan.spec.health);
  domain.n_oom_kills = proc::n_oom_kills();
  domain.guest_is_off = false;
  domain.ended_by_others = false;
  // Others may have been at its network while no daemon ran.
  const bool adopted = running.monitor == nullptr;
  domain.responsive = !adopted;
  spawn_for_run(domain, "watch " + domain_name, watch(domain_name, running.qemu.process));
  spawn_for_run(domain, "attend " + domain_name, attend(domain_name, std::move(running.monitor)));
  if (domain.health.state() != HealthState::none)
    spawn_for_run(domain, "check the health of " + domain_name, check_health(domain_name));
  domain.mending = false;
  if (adopted || domain.network_is_suspect) suspect(domain_name, domain);
  domain.changed->notify();
}

// A task that finds its domain gone has nothing to tell: it was about to be cancelled.
Task<> Server::State::while_there(std::string domain_name, Task<> task) {
  auto outcome = co_await detail::outcome_of(std::move(task));
  if (outcome.error && find_if_there(domain_name) != nullptr) std::rethrow_exception(outcome.error);
}

void Server::State::spawn_for_run(Domain& domain, std::string what, Task<> task) {
  domain.run->spawn(std::move(what),
                    while_there(domain.record.plan.spec.domain_name, std::move(task)));
}

void Server::State::release(Domain& domain) {
  call_off_restart(domain);
  if (domain.console) domain.console->close();
  domain.console.reset();
  domain.monitor.reset();  // whoever attends it lets go, too, and ends the connection
  domain.health = domain::Health(domain.record.plan.spec.health);
  if (!domain.run) return;
  domain.run->cancel();
  tasks.spawn("end of the run of " + domain.record.plan.spec.domain_name,
              join(std::move(domain.run)));
}

Task<> Server::State::watch(std::string domain_name, proc::Process process) {
  const proc::Exit exit = co_await process.exited();
  log::info("{}: QEMU {}", domain_name, exit.describe());
  // Why it ended, it may have said in its last words.
  if (const auto monitor = find(domain_name).monitor)
    co_await detail::outcome_of(with_deadline("last words", last_words, monitor->closed()));
  const bool by_others = find(domain_name).ended_by_others;
  const bool killed = !exit.status && exit.signal_number.value_or(SIGKILL) == SIGKILL;
  const bool no_memory = killed && proc::n_oom_kills() != find(domain_name).n_oom_kills;
  guest_off(
      domain_name,
      fmt::format("QEMU {}{}{}", exit.describe(), by_others ? ", told to by somebody else" : "",
                  no_memory ? ", perhaps for want of memory: see the kernel's log" : ""),
      !by_others);
}

// Keeps a connection to the monitor for as long as QEMU lives.
Task<> Server::State::attend(std::string domain_name, std::shared_ptr<qmp::Client> monitor) {
  milliseconds pause = first_reconnect;
  std::string why;
  while (true) {
    if (!monitor) {
      const auto path = find(domain_name).record.plan.monitor_path;
      auto connecting = qmp::Client::connect("QMP of " + domain_name, path, patience);
      auto connected = co_await detail::outcome_of(std::move(connecting));
      if (!connected.error) monitor = connected.get();
      if (connected.error) why = describe(connected.error);
    }
    if (monitor) {
      const auto connected_at = Clock::now();
      auto talked = co_await detail::outcome_of(converse(domain_name, monitor));
      if (as_error(talked.error).code() == Errc::cancelled) std::rethrow_exception(talked.error);
      find(domain_name).monitor.reset();
      monitor.reset();
      if (since(connected_at) > last_reconnect) pause = first_reconnect;
      why = describe(talked.error);
    }
    // If QEMU has ended, this is too.
    co_await pause_for(pause);
    set_responsive(domain_name, false, why);
    pause = std::min(2 * pause, last_reconnect);
  }
}

// Until the connection ends, by an exception that says why.
Task<> Server::State::converse(std::string domain_name, std::shared_ptr<qmp::Client> monitor) {
  monitor->on_event([this, domain_name](const qmp::Event& event) { follow(domain_name, event); });
  find(domain_name).monitor = monitor;
  // Before somebody listened, it may have told of something.
  co_await learn_state(domain_name, monitor, patience);
  set_responsive(domain_name, true);
  const std::string why = co_await monitor->closed();
  throw Error(Errc::disconnected, "{}", why);
}

Task<> Server::State::look_for_those_that_hang() {
  while (true) {
    co_await pause_for(heartbeat);
    std::vector<std::string> names;
    for (const auto& [domain_name, domain] : domains) names.push_back(domain_name);
    std::size_t n_asked = 0;
    for (const auto& domain_name : names) {
      if (n_asked == asked_at_once) co_await pause_for(between_questions);
      n_asked %= asked_at_once;
      Domain* domain = find_if_there(domain_name);
      if (domain == nullptr || !domain->run || !domain->monitor || !domain->responsive) continue;
      spawn_for_run(*domain, "heartbeat of " + domain_name,
                    feel_pulse(domain_name, domain->monitor));
      ++n_asked;
    }
  }
}

Task<> Server::State::feel_pulse(std::string domain_name, std::shared_ptr<qmp::Client> monitor) {
  auto asked = co_await detail::outcome_of(learn_state(domain_name, monitor, qmp::query_limit));
  if (asked.error && as_error(asked.error).code() == Errc::timeout)
    set_responsive(domain_name, false, describe(asked.error));
}

// A verb that is at work records by itself, and so does an adoption.
void Server::State::learn(Domain& domain, RunState state) {
  const std::string domain_name = domain.record.plan.spec.domain_name;
  set_state(domain, state);
  if (domain.claimed.expired() && !domain.adopting)
    spawn_for_run(domain, "record the state of " + domain_name, record_as_is(domain_name));
}

Task<> Server::State::learn_state(std::string domain_name, std::shared_ptr<qmp::Client> monitor,
                                  milliseconds limit) {
  Json no_arguments = Json::object();
  const Json answer = co_await monitor->execute("query-status", std::move(no_arguments), limit);
  const std::string status = text_field(answer, "status");
  Domain& domain = find(domain_name);
  // A reboot powers it off on its way, and of a QEMU that somebody ends its watch tells.
  if (domain.rebooting() || domain.ended_by_others) co_return;
  // Events tell of changes; this is for what they told nobody.
  const bool half_rebooted = status == "prelaunch" && domain.record.state == RunState::running &&
                             domain.record.pressed_for == domain::PowerButton::reboot;
  if (status == "shutdown" || half_rebooted) powered_off(domain_name);
  if (status == "guest-panicked") guest_off(domain_name, "the guest has panicked", true);
  if (!domain.has_qemu() || domain.rebooting()) co_return;
  const bool runs = optional_bool(answer, "running", false);
  const RunState state = runs ? RunState::running : RunState::paused;
  if (domain.record.state != state) learn(domain, state);
}

// The answer to a question that was asked in vain comes when QEMU is well again.
Task<> Server::State::wait_for_answer(std::string domain_name,
                                      std::shared_ptr<qmp::Client> monitor) {
  co_await learn_state(domain_name, monitor, patience);
  set_responsive(domain_name, true);
}

void Server::State::set_responsive(const std::string& domain_name, bool responsive,
                                   const std::string& why) {
  Domain* domain = find_if_there(domain_name);
  if (domain == nullptr || !domain->has_qemu() || domain->responsive == responsive) return;
  domain->responsive = responsive;
  domain->changed->notify();
  if (domain->adopting) return;
  if (responsive) {
    emit("domain.responsive", domain_name);
    return;
  }
  emit("domain.unresponsive", domain_name, {{"reason", why}});
  if (domain->monitor && domain->monitor->connected())
    spawn_for_run(*domain, "wait for QEMU of " + domain_name,
                  wait_for_answer(domain_name, domain->monitor));
}

void Server::State::follow(const std::string& domain_name, const qmp::Event& event) {
  Domain* domain = find_if_there(domain_name);
  if (domain == nullptr || !domain->run) return;
  const bool idle = domain->has_qemu() && !domain->rebooting();
  const auto becomes = [&](RunState from, RunState to, std::string what) {
    if (!idle || domain->record.state != from) return;
    learn(*domain, to);
    emit(std::move(what), domain_name);
  };
  if (event.name == "STOP") {
    becomes(RunState::running, RunState::paused, "domain.paused");
  } else if (event.name == "RESUME") {
    becomes(RunState::paused, RunState::running, "domain.resumed");
  } else if (event.name == "RESET") {
    forget_power_button(*domain);
    if (!floods(*domain))
      emit("domain.reset", domain_name, {{"by_guest", optional_bool(event.data, "guest", false)}});
  } else if (event.name == "SHUTDOWN" && optional_bool(event.data, "guest", false)) {
    powered_off(domain_name);
  } else if (event.name == "SHUTDOWN") {
    domain->ended_by_others = true;
  } else if (event.name == "GUEST_PANICKED") {
    guest_off(domain_name, "the guest has panicked", true);
  }
  if (std::find(notable_events.begin(), notable_events.end(), event.name) != notable_events.end() &&
      !floods(*domain))
    emit("qemu." + event.name, domain_name, event.data);
}

// A guest that has begun anew has not heeded it.
void Server::State::forget_power_button(Domain& domain) {
  if (domain.record.pressed_for == domain::PowerButton::none || domain.rebooting()) return;
  domain.record.pressed_for = domain::PowerButton::none;
  const std::string& domain_name = domain.record.plan.spec.domain_name;
  spawn_for_run(domain, "record the state of " + domain_name, record_as_is(domain_name));
}

void Server::State::powered_off(const std::string& domain_name) {
  Domain& domain = find(domain_name);
  if (!domain.has_qemu() || domain.record.pressed_for != domain::PowerButton::reboot) {
    guest_off(domain_name, "the guest has powered off", false);
    return;
  }
  auto claim =
      domain.rebooting() ? domain.claimed.lock() : this->claim(domain_name, domain::Verb::reboot);
  spawn_for_run(domain, "reboot " + domain_name,
                start_anew(domain_name, domain.monitor, std::move(claim)));
}

// The second half of a reboot: the guest has powered off, and is to come up again, whoever still
// waits for it.
Task<> Server::State::start_anew(std::string domain_name, std::shared_ptr<qmp::Client> monitor,
                                 std::shared_ptr<const domain::Verb> claim) {
  Json none = Json::object();
  Json nothing = Json::object();
  auto reset = monitor->execute("system_reset", std::move(none), qmp::query_limit);
  auto outcome = co_await detail::outcome_of(std::move(reset));
  if (!outcome.error) {
    auto resume = monitor->execute("cont", std::move(nothing), qmp::query_limit);
    outcome = co_await detail::outcome_of(std::move(resume));
  }
  if (outcome.error && as_error(outcome.error).code() == Errc::cancelled)
    std::rethrow_exception(outcome.error);
  if (!outcome.error) {
    // Before anybody is told: or else the next power-off would be taken for this one.
    domain::DomainRecord record = find(domain_name).record;
    record.pressed_for = domain::PowerButton::none;
    auto recorded = co_await detail::outcome_of(host.write_record(record));
    if (recorded.error) log::error("{}", describe(recorded.error));
  }
  Domain& domain = find(domain_name);
  domain.record.pressed_for = domain::PowerButton::none;
  domain.changed->notify();
  claim.reset();
  if (outcome.error)
    guest_off(domain_name, describe(outcome.error), true);
  else
    emit("domain.rebooted", domain_name);
}

void Server::State::guest_off(const std::string& domain_name, const std::string& reason,
                              bool failed) {
  Domain* domain = find_if_there(domain_name);
  if (domain == nullptr) return;
  domain->guest_is_off = true;
  domain->changed->notify();
  // A verb that is under way knows what to do about it.
  if (!domain->has_qemu()) return;
  domain::DomainRecord record = domain->record;
  record.reason = reason;
  set_state(*domain, RunState::stopping);
  tasks.spawn("end of " + domain_name, end_run(domain_name, std::move(record), failed));
}

Task<> Server::State::end_run(std::string domain_name, domain::DomainRecord record, bool failed) {
  Domain& domain = find(domain_name);
  const RestartPolicy policy = record.plan.spec.restart;
  // One that was told to stop is not wanted back, even if it has taken longer than its user waited.
  const bool by_itself = failed || record.pressed_for != domain::PowerButton::stop;
  const bool wanted =
      policy == RestartPolicy::always || (policy == RestartPolicy::on_failure && failed);
  plan_restart(record, wanted && by_itself, since(domain.running_since));
  domain.record.reason = record.reason;
  auto halted = co_await detail::outcome_of(halt(domain_name, record));
  if (halted.error) log::error("{}: {}", domain_name, describe(halted.error));
  // A QEMU that does not die: when it has, who watches it comes here again.
  if (find(domain_name).has_qemu()) co_return;
  emit("domain.stopped", domain_name, {{"reason", record.reason}, {"failed", failed}});
  schedule_restart(domain_name);
}

}  // namespace wso
