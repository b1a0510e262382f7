#include <chrono>

#include <wso/domain/lifecycle.hpp>

namespace wso::domain {
namespace {

std::int64_t now() {
  return std::chrono::duration_cast<std::chrono::seconds>(
             std::chrono::system_clock::now().time_since_epoch())
      .count();
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

  const DomainFiles files = co_await host.open_files(record);
  const UniqueFd tap = co_await host.build_network(plan);
  rollback.add("remove the network", [&] { return host.destroy_network(plan); });

  const proc::Process process = co_await host.start_qemu(plan, files, tap);
  rollback.add("stop QEMU", [&host, &plan, process] { return host.stop_qemu(plan, process); });

  auto monitor = co_await host.connect_monitor(plan, process);
  co_await host.verify(plan, monitor);
  if (!plan.spec.paused) co_await host.resume(monitor);

  record.state = plan.spec.paused ? RunState::paused : RunState::running;
  record.qemu = process.identity();
  record.started_at = now();
  co_await host.write_record(record);
  co_return RunningDomain{std::move(record), process, std::move(monitor)};
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

Task<RunningDomain> launch(Host& host, DomainPlan plan) {
  const auto what = "launch " + plan.spec.domain_name;
  const auto steps = [&](Rollback& rollback) { return launch_steps(host, plan, rollback); };
  co_return co_await with_rollback<RunningDomain>(what, steps);
}

Task<> destroy(Host& host, DomainRecord record) {
  // Half a destruction helps nobody, and all of its waits are bounded.
  co_await asio::this_coro::reset_cancellation_state(asio::disable_cancellation());
  try {
    record.state = RunState::destroying;
    co_await host.write_record(record);
    // With QEMU alive its tap would outlive the bridge, and with it the rules of the bridge.
    if (const auto qemu = co_await host.find_qemu(record)) {
      co_await host.stop_qemu(record.plan, *qemu);
    } else {
      co_await host.remove_sockets(record.plan);
    }
    co_await remove_network_and_files(host, record);
    co_await host.erase_record(record.plan.spec.domain_name);
  } catch (const Error& error) {
    throw error.with_context("destroy " + record.plan.spec.domain_name);
  }
}

}  // namespace wso::domain
