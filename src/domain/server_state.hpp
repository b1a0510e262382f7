// What a Server holds. Used by server.cpp (launch, destroy), reconcile.cpp (start) and
// server_status.cpp (all that only looks).
#pragma once

#include <map>
#include <optional>
#include <set>
#include <string>

#include <wso/domain/lifecycle.hpp>
#include <wso/server.hpp>

#include "linux_host.hpp"

namespace wso {

struct Server::State {
  State(asio::any_io_executor executor, ServerOptions server_options);

  struct Domain {
    domain::DomainRecord record;
    std::shared_ptr<qmp::Client> monitor;  // null: QEMU does not run, or does not answer

    [[nodiscard]] bool has_qemu() const {
      return record.state == RunState::running || record.state == RunState::paused;
    }
  };

  // Throws Errc::not_found.
  Domain& find(std::string_view domain_name);
  // Those named, or all that have a QEMU.
  std::vector<std::string> running(const std::vector<std::string>& names);

  domain::Taken taken() const;

  // Begins to look after a domain whose QEMU runs.
  void supervise(domain::RunningDomain running);
  Task<> watch(std::string domain_name, proc::Process process);
  void follow(const std::string& domain_name, const qmp::Event& event);

  // Makes the record of a domain whose QEMU has gone, and what it left, tell so.
  Task<> settle(std::string domain_name, std::string reason);
  Task<> adopt(std::string domain_name);
  Task<> remove_half(std::string domain_name);
  Task<> load();

  asio::any_io_executor executor;
  ServerOptions options;
  domain::Settings settings;
  UniqueFd workdir_lock;
  UniqueFd namespace_lock;
  // Declared before the host: its thread must have ended when the host goes.
  asio::thread_pool worker{1};
  domain::LinuxHost host;
  std::map<std::string, Domain, std::less<>> domains;
  // Records that this version cannot read; their names must not be used again.
  std::set<std::string, std::less<>> unreadable;
  TaskGroup tasks;
  Semaphore launch_slots;
};

}  // namespace wso
