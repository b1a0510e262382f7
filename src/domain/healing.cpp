// What others damage of the networks of running domains: noticed by the kernel's notifications,
// mended at once, and told. Nothing is done in between.
#include <boost/asio/posix/stream_descriptor.hpp>
#include <fcntl.h>

#include <wso/base/error.hpp>
#include <wso/base/log.hpp>

#include "server_state.hpp"

namespace wso {
namespace {

constexpr milliseconds first_retry{100};
constexpr milliseconds between_replacements{50};
constexpr milliseconds last_retry{1000};

// A descriptor of its own, as a stream_descriptor closes the one that it is given.
asio::posix::stream_descriptor watched(const asio::any_io_executor& executor, int fd) {
  UniqueFd copy(::fcntl(fd, F_DUPFD_CLOEXEC, 0));
  if (!copy) throw_errno("duplicate a netlink socket");
  return {executor, copy.release()};
}

}  // namespace

void Server::State::watch_networks() {
  tasks.spawn("watch the links", keep_watching("the links", &State::watch_links));
  tasks.spawn("watch the firewall", keep_watching("the firewall", &State::watch_firewall));
}

// Both watches know whether they have missed something.
Task<> Server::State::keep_watching(std::string what, Task<> (State::*begin)()) {
  while (true) {
    auto ended = co_await detail::outcome_of((this->*begin)());
    if (as_error(ended.error).code() == Errc::cancelled) std::rethrow_exception(ended.error);
    log::error("watch {}: {}", what, describe(ended.error));
    co_await pause_for(first_retry);
  }
}

Task<> Server::State::watch_links() {
  auto descriptor = watched(executor, host.link_watch().fd());
  while (true) {
    const net::Damage damage = host.link_watch().read();
    if (damage.forwarding || damage.overrun) tasks.spawn("mend IPv4 forwarding", mend_forwarding());
    for (auto& [domain_name, domain] : domains) {
      const domain::DomainPlan& plan = domain.record.plan;
      if (damage.overrun || damage.links.contains(plan.bridge_name()) ||
          damage.links.contains(plan.tap_name()) || damage.rerouted.contains(plan.address))
        suspect(domain_name, domain);
    }
    co_await descriptor.async_wait(asio::posix::descriptor_base::wait_read, asio::use_awaitable);
  }
}

// One that is on its way to run is looked at as soon as it does.
void Server::State::suspect(const std::string& domain_name, Domain& domain) {
  domain.network_is_suspect = true;
  if (domain.run && domain.has_qemu() && !domain.mending) {
    domain.mending = true;
    spawn_for_run(domain, "mend the network of " + domain_name, mend_network(domain_name));
  }
}

Task<> Server::State::mend_network(std::string domain_name) {
  milliseconds retry = first_retry;
  while (find(domain_name).has_qemu() && find(domain_name).network_is_suspect) {
    find(domain_name).network_is_suspect = false;
    const domain::DomainPlan plan = find(domain_name).record.plan;
    auto mended = co_await detail::outcome_of(host.mend_network(plan));
    if (!mended.error) {
      for (const std::string& what : mended.get()) count_mended(domain_name, what);
      continue;
    }
    const Error error = as_error(mended.error);
    if (error.code() == Errc::cancelled) throw Error(error);
    // A tap that goes with its QEMU is no damage: who watches the process knows in a moment.
    const bool lives = co_await may_live(find(domain_name).record);
    if (!lives) break;
    if (retry == first_retry) emit("network.damaged", domain_name, {{"problem", error.what()}});
    // A tap that is gone does not come back, and what else is damaged of its network is no matter.
    if (error.code() == Errc::wrong_state) continue;
    co_await pause_for(retry);
    retry = std::min(2 * retry, last_retry);
    find(domain_name).network_is_suspect = true;
  }
  find(domain_name).mending = false;
}

Task<> Server::State::watch_firewall() {
  auto descriptor = watched(executor, host.firewall_watch().fd());
  while (true) {
    if (host.firewall_watch().read()) {
      co_await mend_firewall();
      // Somebody who changes it without end gets no more than this of the machine.
      co_await pause_for(between_replacements);
    }
    co_await descriptor.async_wait(asio::posix::descriptor_base::wait_read, asio::use_awaitable);
  }
}

Task<> Server::State::mend_firewall() {
  milliseconds retry = first_retry;
  while (true) {
    auto mended = co_await detail::outcome_of(host.mend_firewall());
    if (!mended.error) break;
    if (retry == first_retry) emit("network.damaged", "", {{"problem", describe(mended.error)}});
    co_await pause_for(retry);
    retry = std::min(2 * retry, last_retry);
  }
  count_mended("", "table inet wso");
}

Task<> Server::State::mend_forwarding() {
  const bool mended = co_await host.mend_forwarding();
  if (mended) count_mended("", "net.ipv4.ip_forward");
}

void Server::State::count_mended(const std::string& domain_name, const std::string& what) {
  ++n_mended;
  emit("network.mended", domain_name, {{"what", what}, {"n_mended", n_mended}});
}

}  // namespace wso
