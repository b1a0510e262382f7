// What a server does at its start with what an earlier one left: domains whose QEMU lives are taken
// over, those whose QEMU has gone are stopped, half-made and half-destroyed ones are removed. To do
// it twice changes nothing.
#include <algorithm>

#include <wso/base/error.hpp>
#include <wso/base/file.hpp>
#include <wso/base/log.hpp>
#include <wso/domain/messages.hpp>

#include "server_state.hpp"

namespace wso {

namespace fs = std::filesystem;

namespace {

constexpr milliseconds adopt_limit{2000};

// The kernel's name for the time since it was booted.
std::string boot_id() { return read_file("/proc/sys/kernel/random/boot_id", 100).value_or(""); }

// What a record says that its domain's network is, be it otherwise unreadable.
std::optional<domain::KeptNetwork> named_network(const Json& record) {
  try {
    return domain::KeptNetwork{"virbr" + text_field(record, "domain_id"),
                               net::parse_ipv4(text_field(record, "ip_address"))};
  } catch (const Error&) {
    return std::nullopt;
  }
}

// Lies where a restart of the host leaves nothing, and names the boot for hosts where it does.
fs::path boot_marker(const domain::Settings& settings) { return settings.runtime_dir / "boot"; }

}  // namespace

domain::DomainRecord Server::State::read_record(const std::string& domain_name,
                                                const Json& contents) const {
  domain::DomainRecord record = domain::parse_record(contents);
  if (record.plan.spec.domain_name != domain_name)
    throw Error(Errc::protocol, "it is the record of {}", record.plan.spec.domain_name);
  // A record of version 1 did not say.
  if (record.plan.subnet.prefix_length == 0) {
    record.plan.subnet = settings.subnet;
    record.plan.gateway = settings.gateway;
  }
  return record;
}

Task<> Server::State::read_records() {
  const auto loaded = co_await host.load_records();
  for (const auto& damaged : loaded.damaged)
    co_await set_aside(damaged.path.stem(), damaged.problem);
  std::vector<domain::DomainRecord> records;
  for (const auto& [domain_name, contents] : loaded.records) {
    std::string problem;
    try {
      records.push_back(read_record(domain_name, contents));
      continue;
    } catch (const Error& error) {
      if (error.code() == Errc::wrong_state)
        leave_alone(domain_name, error.what());
      else
        problem = error.what();
    }
    // What it names stays its own, for a later version or for whoever repairs it.
    if (const auto network = named_network(contents)) reserved.push_back(*network);
    if (!problem.empty()) co_await set_aside(domain_name, std::move(problem));
  }
  add_records(std::move(records));
}

// One that somebody has put back may name what another domain has got meanwhile, and may be using.
void Server::State::add_records(std::vector<domain::DomainRecord> records) {
  std::stable_partition(records.begin(), records.end(), [](const domain::DomainRecord& record) {
    return record.state != RunState::stopped;
  });
  for (auto& record : records) {
    const domain::DomainPlan& plan = record.plan;
    const auto rival = std::find_if(domains.begin(), domains.end(), [&](const auto& entry) {
      const domain::DomainPlan& other = entry.second.record.plan;
      return other.domain_id == plan.domain_id || other.address == plan.address;
    });
    if (rival == domains.end()) {
      add(std::move(record));
    } else {
      reserved.push_back({plan.bridge_name(), plan.address});
      leave_alone(plan.spec.domain_name,
                  fmt::format("its id {} or its address {} is that of {}: destroy that, and "
                              "restart wsod",
                              plan.domain_id, net::to_string(plan.address), rival->first));
    }
  }
}

void Server::State::leave_alone(const std::string& domain_name, const std::string& problem) {
  log::error("the record of {} is left alone: {}", domain_name, problem);
  unreadable.insert(domain_name);
}

// Somebody may still make something of it; what it names is left alone, too.
Task<> Server::State::set_aside(std::string domain_name, std::string problem) {
  unreadable.insert(domain_name);
  auto moved = co_await detail::outcome_of(host.set_aside_record(domain_name));
  if (moved.error)
    log::error("the record of {} is damaged ({}), and cannot be set aside: {}", domain_name,
               problem, describe(moved.error));
  else
    log::error("the record of {} is damaged, and is set aside as {}: {}", domain_name,
               moved.get().native(), problem);
}

Task<> Server::State::load() {
  host_was_restarted = read_file(boot_marker(settings), 100) != boot_id();
  co_await read_records();

  TaskGroup work(executor);
  std::vector<std::string> recorded;
  for (const auto& [domain_name, domain] : domains) recorded.push_back(domain_name);
  std::vector<domain::DomainPlan> alive;
  std::vector<domain::DomainPlan> gone;
  for (const auto& domain_name : recorded) {
    const domain::DomainRecord record = find(domain_name).record;
    if (record.state == RunState::stopped) continue;
    if (domain::is_half_gone(record)) {
      work.spawn("remove what is left of " + domain_name, remove_half(domain_name));
    } else if (domain::is_half_started(record)) {
      work.spawn("undo the start of " + domain_name, settle(domain_name));
    } else {
      const auto qemu = co_await host.find_qemu(record);
      if (qemu) alive.push_back(record.plan);
      if (!qemu) gone.push_back(record.plan);
    }
  }
  // Before the links of unknown domains are swept away, as a QEMU that still runs needs its rules.
  co_await work.join();

  kept_networks = co_await host.start_networks(alive, gone);
  watch_networks();
  tasks.spawn("look for QEMUs that hang", look_for_those_that_hang());
  for (const auto& plan : alive)
    work.spawn("adopt " + plan.spec.domain_name, adopt(plan.spec.domain_name));
  for (const auto& plan : gone)
    work.spawn("settle " + plan.spec.domain_name, settle(plan.spec.domain_name));
  co_await work.join();
  log::info("{} domains, {} of them taken over", domains.size(), alive.size());

  if (host_was_restarted) co_await choose_autostarts();
  for (const auto& domain_name : recorded) {
    Domain* domain = find_if_there(domain_name);
    if (domain == nullptr || domain->record.state != RunState::stopped) continue;
    if (host_was_restarted && domain->record.restart_pending)
      tasks.spawn("autostart " + domain_name, start_automatically(domain_name));
    else
      schedule_restart(domain_name);
  }
}

// What is to be started is on record before any of it is: a daemon that is killed meanwhile does
// not take its end for one more restart of the host.
Task<> Server::State::choose_autostarts() {
  std::vector<std::string> stopped;
  for (const auto& [domain_name, domain] : domains)
    if (domain.record.state == RunState::stopped) stopped.push_back(domain_name);
  for (const auto& domain_name : stopped) {
    domain::DomainRecord& known = find(domain_name).record;
    if (known.restart_pending == known.plan.spec.autostart) continue;
    known.restart_pending = known.plan.spec.autostart;
    const domain::DomainRecord record = known;
    auto recorded = co_await detail::outcome_of(host.write_record(record));
    if (recorded.error) log::error("{}", describe(recorded.error));
  }
  auto marked =
      co_await detail::outcome_of(host.write_boot_marker(boot_marker(settings), boot_id()));
  if (marked.error) log::error("{}", describe(marked.error));
}

Task<> Server::State::remove_half(std::string domain_name) {
  const domain::DomainRecord record = find(domain_name).record;
  auto done = co_await detail::outcome_of(domain::destroy(host, record));
  if (!done.error) {
    remove(domain_name);
    co_return;
  }
  // It stays in sight, to be destroyed when what is in the way has gone.
  log::error("{}", describe(done.error));
  find(domain_name).record.reason = describe(done.error);
  set_state(find(domain_name), RunState::stopped);
}

// Of a domain without a QEMU, or with one that nobody has been promised yet.
Task<> Server::State::settle(std::string domain_name) {
  domain::DomainRecord record = find(domain_name).record;
  const bool failed = domain::has_qemu(record.state) && !host_was_restarted;
  if (domain::has_qemu(record.state)) {
    record.reason =
        host_was_restarted ? "the host was restarted" : "QEMU ended while wsod did not run";
    const bool wanted = failed && record.plan.spec.restart != RestartPolicy::no;
    plan_restart(record, wanted, milliseconds(0));
  }
  set_state(find(domain_name), RunState::stopping);
  auto halted = co_await detail::outcome_of(halt(domain_name, record));
  if (halted.error) log::error("{}", describe(halted.error));
  emit("domain.stopped", domain_name, {{"reason", record.reason}, {"failed", failed}});
}

Task<> Server::State::adopt(std::string domain_name) {
  domain::DomainRecord record = find(domain_name).record;
  const auto process = co_await host.find_qemu(record);
  if (!process) {
    co_await settle(domain_name);
    co_return;
  }
  const RunState on_record = record.state;
  // A stop that was not brought to its end, and that nobody has been told of.
  if (record.state == RunState::stopping) {
    record.state = RunState::running;
    record.reason.clear();
    record.restart_pending = false;
    record.recreate_pending = false;
  }
  find(domain_name).adopting = true;
  domain::StartedQemu qemu;
  qemu.process = *process;
  qemu.messages = domain::open_message_pipe(record.plan.messages_path());
  supervise({record, std::move(qemu), nullptr});
  // One that does not answer is waited for later, by who attends it.
  const auto known = [](const Domain& domain) { return domain.responsive || !domain.has_qemu(); };
  auto waiting = with_deadline("adoption", adopt_limit, wait_until(domain_name, known));
  auto waited = co_await detail::outcome_of(std::move(waiting));
  Domain& domain = find(domain_name);
  domain.adopting = false;
  emit("domain.adopted", domain_name, {{"state", name(shown(domain).state)}});
  if (domain.record.state == on_record) co_return;
  auto recorded = co_await detail::outcome_of(record_as_is(domain_name));
  if (recorded.error) log::error("{}", describe(recorded.error));
}

// As many at once as there are places for. What fails is left to its user.
Task<> Server::State::start_automatically(std::string domain_name) {
  const bool paused = find(domain_name).record.plan.spec.paused;
  auto started = co_await detail::outcome_of(bring_up(domain_name, paused));
  Domain* domain = find_if_there(domain_name);
  if (!started.error || domain == nullptr) co_return;
  if (as_error(started.error).code() == Errc::cancelled) std::rethrow_exception(started.error);
  log::error("{}", describe(started.error));
  domain->record.restart_pending = false;
  const domain::DomainRecord record = domain->record;
  co_await host.write_record(record);
}

}  // namespace wso
