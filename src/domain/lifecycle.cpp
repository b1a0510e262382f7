#include <chrono>

#include <wso/domain/lifecycle.hpp>

namespace wso::domain {
namespace {

std::int64_t now() {
  return std::chrono::duration_cast<std::chrono::seconds>(
             std::chrono::system_clock::now().time_since_epoch())
      .count();
}

// From here on the domain has its files, and a record that tells of what is about to be made. Who
// calls this owns `plan` until the rollback has run.
Task<RunningDomain> run_qemu(Host& host, const DomainPlan& plan, DomainRecord record, bool paused,
                             Rollback& rollback) {
  const DomainFiles files = co_await host.open_files(record);
  const UniqueFd tap = co_await host.build_network(plan);
  rollback.add("remove the network", [&] { return host.destroy_network(plan); });

  StartedQemu qemu = co_await host.start_qemu(plan, files, tap);
  const proc::Process process = qemu.process;
  rollback.add("stop QEMU", [&host, &plan, process] { return host.stop_qemu(plan, process); });

  auto monitor = co_await host.connect_monitor(plan, qemu);
  co_await host.verify(plan, monitor);
  if (!paused) co_await host.resume(monitor);

  record.state = paused ? RunState::paused : RunState::running;
  record.restart_pending = false;
  record.qemu = process.identity();
  record.started_at = now();
  co_await host.write_record(record);
  co_return RunningDomain{std::move(record), std::move(qemu), std::move(monitor)};
}

Task<RunningDomain> launch_steps(Host& host, const DomainPlan& plan, Rollback& rollback) {
  const std::string& domain_name = plan.spec.domain_name;
  DomainRecord record;
  record.plan = plan;
  const DomainFiles made = co_await host.make_files(plan);
  record.disk = identity_of(made.disk.get());
  record.script = identity_of(made.script.get());

  // From here on the next start sees what a crash left: the record tells what to look for.
  co_await host.write_record(record);
  rollback.add("erase the record", [&] { return host.erase_record(domain_name); });

  co_await host.publish_files(record, made);
  rollback.add("remove the files", [&host, record] { return host.remove_files(record); });
  co_return co_await run_qemu(host, plan, record, plan.spec.paused, rollback);
}

// New files in place of the old. A crash or a failure in between leaves `recreate_pending` in the
// record, and the identities of the files that may be there: doing it again begins by removing
// them.
Task<> renew_files(Host& host, DomainRecord& record) {
  co_await host.unpublish_files(record);
  const DomainFiles made = co_await host.make_files(record.plan);
  record.disk = identity_of(made.disk.get());
  record.script = identity_of(made.script.get());
  co_await host.write_record(record);
  co_await host.publish_files(record, made);
  record.recreate_pending = false;
}

Task<RunningDomain> start_steps(Host& host, DomainRecord& record, bool paused, Rollback& rollback) {
  record.state = RunState::starting;
  // Of a QEMU that is gone, if the end of a stop could not be recorded: after a crash it would be
  // looked for in the new one's place.
  record.qemu = {};
  record.pressed_for = PowerButton::none;
  co_await host.write_record(record);
  rollback.add("record that it is stopped", [&] {
    record.state = RunState::stopped;
    return host.write_record(record);
  });
  if (record.recreate_pending) co_await renew_files(host, record);
  DomainRecord started = record;
  started.reason.clear();
  co_return co_await run_qemu(host, record.plan, std::move(started), paused, rollback);
}

// With QEMU alive its tap would outlive the bridge, and with it the rules of the bridge.
Task<> end_qemu(Host& host, const DomainRecord& record) {
  if (const auto qemu = co_await host.find_qemu(record)) {
    co_await host.stop_qemu(record.plan, *qemu);
  } else {
    co_await host.remove_channels(record.plan);
  }
}

// What has gone by itself cannot be asked to wait until the disk is well again.
Task<> record_halt(Host& host, const DomainRecord& record, bool guest_is_off) {
  auto recorded = co_await detail::outcome_of(host.write_record(record));
  if (!recorded.error || guest_is_off) co_return;
  const auto qemu = co_await host.find_qemu(record);
  if (qemu) recorded.get();
}

// A full disk does not keep anybody from making room on it. A crash before the end then leaves a
// domain that is to be destroyed once more.
Task<> record_destruction(Host& host, const DomainRecord& record) {
  auto recorded = co_await detail::outcome_of(host.write_record(record));
  if (recorded.error && as_error(recorded.error).code() != Errc::no_space) recorded.get();
}

Task<> remove_network_and_files(Host& host, const DomainRecord& record) {
  auto network = co_await detail::outcome_of(host.destroy_network(record.plan));
  auto files = co_await detail::outcome_of(host.remove_files(record));
  if (network.error && files.error)
    throw Error(Errc::internal, "{}; {}", describe(network.error), describe(files.error));
  network.get();
  files.get();
}

}  // namespace

bool is_half_started(const DomainRecord& record) {
  return record.state == RunState::starting ||
         (record.state == RunState::stopping && record.qemu.pid == 0);
}

bool is_half_gone(const DomainRecord& record) {
  return record.state == RunState::launching || record.state == RunState::destroying;
}

Task<RunningDomain> launch(Host& host, DomainPlan plan) {
  const auto what = "launch " + plan.spec.domain_name;
  const auto steps = [&](Rollback& rollback) { return launch_steps(host, plan, rollback); };
  co_return co_await with_rollback<RunningDomain>(what, steps);
}

Task<RunningDomain> start(Host& host, DomainRecord& record, bool paused) {
  const auto what = "start " + record.plan.spec.domain_name;
  const auto steps = [&](Rollback& rollback) {
    return start_steps(host, record, paused, rollback);
  };
  co_return co_await with_rollback<RunningDomain>(what, steps);
}

Task<DomainRecord> halt(Host& host, DomainRecord record, bool guest_is_off) {
  // Half a stop helps nobody, and all of its waits are bounded.
  co_await asio::this_coro::reset_cancellation_state(asio::disable_cancellation());
  try {
    // Of half a start the next start of the daemon knows what to do as it is.
    const bool known = is_half_started(record);
    record.state = RunState::stopping;
    if (!known) co_await record_halt(host, record, guest_is_off);
    co_await end_qemu(host, record);
    co_await host.destroy_network(record.plan);
    record.state = RunState::stopped;
    record.qemu = {};
    co_await host.write_record(record);
  } catch (const Error& error) {
    throw error.with_context("stop " + record.plan.spec.domain_name);
  }
  co_return record;
}

Task<> destroy(Host& host, DomainRecord record) {
  // As above.
  co_await asio::this_coro::reset_cancellation_state(asio::disable_cancellation());
  try {
    // Of half a launch and half a destruction the next start knows what to do as it is.
    const bool known = is_half_gone(record);
    record.state = RunState::destroying;
    if (!known) co_await record_destruction(host, record);
    co_await end_qemu(host, record);
    co_await remove_network_and_files(host, record);
    co_await host.erase_record(record.plan.spec.domain_name);
  } catch (const Error& error) {
    throw error.with_context("destroy " + record.plan.spec.domain_name);
  }
}

}  // namespace wso::domain
