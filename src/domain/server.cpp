#include <algorithm>
#include <functional>
#include <thread>

#include <fcntl.h>
#include <sys/file.h>
#include <sys/sysinfo.h>
#include <unistd.h>

#include <wso/base/error.hpp>
#include <wso/base/log.hpp>

#include "server_state.hpp"

namespace wso {
namespace {

namespace fs = std::filesystem;

// A server that was killed while it started a QEMU leaves a child that holds its locks until it has
// become that QEMU, some milliseconds later: only then is it known what there is to be taken over.
bool taken_within_a_moment(const std::function<bool()>& attempt) {
  constexpr milliseconds moment{2000};
  const auto deadline = Clock::now() + moment;
  while (!attempt()) {
    if (Clock::now() > deadline) return false;
    std::this_thread::sleep_for(milliseconds(5));
  }
  return true;
}

// One server to a workdir and to a runtime directory: two would each take the other's domains for
// its own, or put its sockets in the place of the other's.
UniqueFd lock_directory(const fs::path& directory) {
  if (::geteuid() != 0)
    throw Error(Errc::permission, "wso makes links and firewall rules, and must run as root");
  make_directories(directory, 0755);
  const fs::path path = directory / "lock";
  UniqueFd lock(::open(path.c_str(), O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600));
  if (!lock) throw_errno(fmt::format("open {}", path.native()));
  if (!taken_within_a_moment([&] { return ::flock(lock.get(), LOCK_EX | LOCK_NB) == 0; }))
    throw Error(Errc::busy,
                "another wso server uses {}, or a QEMU that it was about to start hangs before it "
                "is one: end it, or choose another directory",
                directory.native());
  return lock;
}

// More memory than the host has would be found out by the kernel's OOM killer, hours later.
void check_host_memory(const DomainSpec& spec) {
  struct sysinfo info {};
  ::sysinfo(&info);
  const std::uint64_t host_kib = (info.totalram + info.totalswap) * info.mem_unit / kib;
  if (spec.memory_kib > host_kib)
    throw Error(Errc::invalid_argument, "memory_kib is {}, and this host has {} KiB",
                spec.memory_kib, host_kib);
}

}  // namespace

Server::State::State(asio::any_io_executor the_executor, ServerOptions server_options)
    : executor(std::move(the_executor)),
      options(std::move(server_options)),
      settings(domain::make_settings(options)),
      workdir_lock(lock_directory(settings.workdir)),
      runtime_dir_lock(settings.runtime_dir == settings.workdir
                           ? UniqueFd()
                           : lock_directory(settings.runtime_dir)),
      host(executor, worker, settings),
      tasks(executor),
      events(executor),
      // A starting QEMU is busy with itself: more at once than there are CPUs finish no sooner.
      launch_slots(executor, std::max(2U, std::thread::hardware_concurrency())) {
  options.accel = settings.acceleration.name;
  // One server to a network namespace, as link names and the firewall's table are the namespace's.
  if (!taken_within_a_moment([this] { return host.claim_networks(); }))
    throw Error(Errc::busy,
                "another wso server runs in this network namespace: stop it, or start this one in "
                "another namespace");
}

Server::State::Domain& Server::State::find(std::string_view domain_name) {
  const auto found = domains.find(domain_name);
  if (found == domains.end()) throw Error(Errc::not_found, "there is no domain {}", domain_name);
  return found->second;
}

domain::Taken Server::State::taken() const {
  const auto any = [this](auto matches) {
    return std::any_of(domains.begin(), domains.end(),
                       [&](const auto& entry) { return matches(entry.second.record.plan); });
  };
  const auto kept = [this](auto matches) {
    return std::any_of(kept_networks.begin(), kept_networks.end(), matches) ||
           std::any_of(reserved.begin(), reserved.end(), matches);
  };
  return {
      [any, kept](const std::string& id) {
        return any([&](const domain::DomainPlan& plan) { return plan.domain_id == id; }) ||
               kept([&](const domain::KeptNetwork& network) {
                 return network.bridge_name == "virbr" + id;
               });
      },
      [any, kept](net::Ipv4Address address) {
        return any([&](const domain::DomainPlan& plan) { return plan.address == address; }) ||
               kept([&](const domain::KeptNetwork& network) { return network.address == address; });
      }};
}

Server::State::Domain* Server::State::find_if_there(std::string_view domain_name) {
  const auto found = domains.find(domain_name);
  return found == domains.end() ? nullptr : &found->second;
}

Server::State::Domain& Server::State::add(domain::DomainRecord record) {
  const std::string& domain_name = record.plan.spec.domain_name;
  Domain& domain = domains[domain_name];
  domain.changed = std::make_shared<Signal>(executor);
  domain.health = domain::Health(record.plan.spec.health);
  domain.record = std::move(record);
  return domain;
}

void Server::State::remove(const std::string& domain_name) {
  Domain& domain = find(domain_name);
  release(domain);
  const auto changed = domain.changed;
  domains.erase(domain_name);
  changed->notify();
}

void Server::State::set_state(Domain& domain, RunState state) {
  domain.record.state = state;
  domain.changed->notify();
  // Damaged while a verb that has failed was in charge.
  if (domain.network_is_suspect) suspect(domain.record.plan.spec.domain_name, domain);
}

DomainState Server::State::shown(const Domain& domain) {
  DomainState state = domain::state_of(domain.record);
  if (domain.has_qemu() && !domain.responsive) state.state = RunState::unresponsive;
  state.healthcheck_state = domain.health.state();
  state.n_failed_healthchecks = domain.health.n_failed();
  return state;
}

void Server::State::emit(std::string event, const std::string& domain_name, Json details) {
  log::info("{} {} {}", event, domain_name, dump_json(details));
  events.append(std::move(event), domain_name, std::move(details));
}

Server::Server(asio::any_io_executor executor, ServerOptions options)
    : state_(std::make_unique<State>(std::move(executor), std::move(options))) {}

Server::~Server() = default;

Task<> Server::start() { return state_->load(); }

Task<> Server::stop() {
  for (auto& [name, domain] : state_->domains) state_->release(domain);
  state_->tasks.cancel();
  co_await state_->tasks.join();
  // The rules stay while there may be a QEMU that needs them.
  const bool all_stopped =
      std::all_of(state_->domains.begin(), state_->domains.end(),
                  [](const auto& entry) { return entry.second.record.state == RunState::stopped; });
  if (all_stopped && state_->kept_networks.empty()) co_await state_->host.stop_networks();
}

Task<DomainState> Server::launch_domain(DomainSpec spec) {
  State& state = *state_;
  domain::validate(spec);
  check_host_memory(spec);
  const std::string domain_name = spec.domain_name;
  if (state.unreadable.contains(domain_name))
    throw Error(Errc::already_exists, "{} has a record that this wsod cannot read: see its log",
                domain_name);
  if (state.domains.contains(domain_name))
    throw Error(Errc::already_exists,
                "there is a domain {} already: destroy it, or choose another name", domain_name);
  domain::DomainRecord intent;
  intent.plan =
      domain::make_plan(std::move(spec), state.settings, state.taken(), domain::random_uuid());
  const domain::DomainPlan plan = intent.plan;
  // The name, the id and the address are this launch's from here on.
  state.add(std::move(intent));
  try {
    const auto place = co_await state.launch_slots.enter();
    auto running = co_await domain::launch(state.host, plan);
    state.supervise(std::move(running));
  } catch (...) {
    state.remove(domain_name);
    throw;
  }
  state.emit("domain.launched", domain_name, {{"ip_address", net::to_string(plan.address)}});
  co_return state.shown(state.find(domain_name));
}

Task<DomainState> Server::destroy_domain(std::string domain_name, bool keep_disk) {
  State& state = *state_;
  state.expect(domain_name, domain::Verb::destroy);
  State::Domain& domain = state.find(domain_name);
  DomainState last = state.shown(domain);
  State::call_off_restart(domain);
  domain.record.keep_disk = keep_disk;
  const domain::DomainRecord record = domain.record;
  state.set_state(domain, RunState::destroying);
  auto done = co_await detail::outcome_of(domain::destroy(state.host, record));
  if (done.error) {
    // It can be destroyed again. A QEMU that still runs must not be taken for gone: its rules stay.
    const bool alive = co_await state.may_live(record);
    State::Domain& left = state.find(domain_name);
    left.record.reason = describe(done.error);
    left.record.restart_pending = false;
    if (!alive) state.release(left);
    state.set_state(left, alive ? record.state : RunState::stopped);
    std::rethrow_exception(done.error);
  }
  state.remove(domain_name);
  state.emit("domain.destroyed", domain_name);
  co_return last;
}

std::vector<DomainState> Server::domains() const {
  std::vector<DomainState> states;
  for (const auto& [name, domain] : state_->domains) states.push_back(state_->shown(domain));
  return states;
}

DomainState Server::domain(std::string_view domain_name) const {
  return state_->shown(state_->find(domain_name));
}

std::uint64_t Server::n_mended() const { return state_->n_mended; }

const ServerOptions& Server::options() const { return state_->options; }

}  // namespace wso
