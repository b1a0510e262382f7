// What a Server holds. Used by server.cpp (launch, destroy), verbs.cpp, supervise.cpp (a domain
// while its QEMU runs), server_health.cpp, healing.cpp (its network), restart.cpp, reconcile.cpp
// (start), server_status.cpp and server_streams.cpp (all that only looks).
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>

#include <wso/domain/console.hpp>
#include <wso/domain/event_log.hpp>
#include <wso/domain/health.hpp>
#include <wso/domain/lifecycle.hpp>
#include <wso/domain/transitions.hpp>
#include <wso/server.hpp>

#include "linux_host.hpp"

namespace wso {

struct Server::State {
  State(asio::any_io_executor executor, ServerOptions server_options);

  struct Domain {
    domain::DomainRecord record;
    std::shared_ptr<Signal> changed;  // anything of it, its removal too

    // Of the QEMU that runs; see release().
    std::shared_ptr<TaskGroup> run;        // whoever looks after it
    std::shared_ptr<qmp::Client> monitor;  // null: no connection
    std::shared_ptr<domain::Console> console;
    bool responsive = true;
    bool adopting = false;
    bool guest_is_off = false;  // powered off, panicked, or gone with its QEMU
    bool ended_by_others = false;
    std::uint64_t n_oom_kills = 0;  // of the whole host, when this began
    bool network_is_suspect = false;
    bool mending = false;
    // Of a verb that leaves the state as it is while it is at work: see claim().
    std::weak_ptr<const domain::Verb> claimed;
    Clock::time_point last_guest_event;
    Clock::time_point running_since;
    domain::Health health;

    // Of the pause before a restart.
    std::shared_ptr<asio::steady_timer> pause;

    [[nodiscard]] bool has_qemu() const { return domain::has_qemu(record.state); }
    // From the press of its power button until it has come up anew or the verb has given up.
    [[nodiscard]] bool rebooting() const {
      const auto verb = claimed.lock();
      return verb && *verb == domain::Verb::reboot;
    }
  };

  // Throws Errc::not_found.
  Domain& find(std::string_view domain_name);
  // nullptr if it has been destroyed meanwhile.
  Domain* find_if_there(std::string_view domain_name);
  Domain& add(domain::DomainRecord record);
  void remove(const std::string& domain_name);
  // Those named, or all that have a QEMU.
  std::vector<std::string> running(const std::vector<std::string>& names);
  static DomainState shown(const Domain& domain);
  void set_state(Domain& domain, RunState state);
  // Until it is so of the domain. Throws Errc::not_found if that is destroyed meanwhile.
  Task<> wait_until(std::string domain_name, std::function<bool(const Domain&)> reached);
  domain::Taken taken() const;
  void emit(std::string event, const std::string& domain_name, Json details = Json::object());

  // server_status.cpp
  Task<> ask(std::string domain_name, DomainStatus& status);
  Task<> wait_until_healthy(std::string domain_name, milliseconds limit);

  // verbs.cpp
  // As domain::expect_transition() of the domain's state, but Errc::busy while it is claimed.
  std::optional<domain::Transition> expect(const std::string& domain_name, domain::Verb verb,
                                           bool force = false);
  // Keeps other verbs away from the domain for as long as the result is held.
  [[nodiscard]] std::shared_ptr<const domain::Verb> claim(const std::string& domain_name,
                                                          domain::Verb verb);
  Task<> bring_up(std::string domain_name, bool paused);
  // What it is pressed for has been recorded.
  Task<> press_power_button(std::string domain_name, domain::PowerButton pressed_for,
                            milliseconds limit);
  Task<> power_down(std::string domain_name, bool force, milliseconds limit);
  Task<bool> may_live(domain::DomainRecord record);
  Task<> halt(std::string domain_name, domain::DomainRecord record);
  Task<> stop(std::string domain_name, bool force, milliseconds limit, std::string reason);
  Task<> command(std::string domain_name, std::string qmp_command);
  Task<> record_state(std::string domain_name, RunState state);
  Task<> switch_vcpus(std::string domain_name, std::string qmp_command, RunState after);
  Task<> record_as_is(std::string domain_name);

  // supervise.cpp
  // Begins to look after a domain whose QEMU runs; without a monitor it makes the connection
  // itself.
  void supervise(domain::RunningDomain running);
  // Lets go of a QEMU that is gone, or is about to be.
  void release(Domain& domain);
  void spawn_for_run(Domain& domain, std::string what, Task<> task);
  Task<> while_there(std::string domain_name, Task<> task);
  Task<> watch(std::string domain_name, proc::Process process);
  Task<> attend(std::string domain_name, std::shared_ptr<qmp::Client> monitor);
  Task<> converse(std::string domain_name, std::shared_ptr<qmp::Client> monitor);
  // Asks every QEMU from time to time.
  Task<> look_for_those_that_hang();
  Task<> feel_pulse(std::string domain_name, std::shared_ptr<qmp::Client> monitor);
  void learn(Domain& domain, RunState state);
  Task<> learn_state(std::string domain_name, std::shared_ptr<qmp::Client> monitor,
                     milliseconds limit);
  Task<> wait_for_answer(std::string domain_name, std::shared_ptr<qmp::Client> monitor);
  Task<> start_anew(std::string domain_name, std::shared_ptr<qmp::Client> monitor,
                    std::shared_ptr<const domain::Verb> claim);
  static bool floods(Domain& domain);
  void follow(const std::string& domain_name, const qmp::Event& event);
  void forget_power_button(Domain& domain);
  // By itself, or as its power button told it to.
  void powered_off(const std::string& domain_name);
  void guest_off(const std::string& domain_name, const std::string& reason, bool failed);
  void set_responsive(const std::string& domain_name, bool responsive, const std::string& why = "");
  // The QEMU of a domain has ended by itself, or only waits to be ended.
  Task<> end_run(std::string domain_name, domain::DomainRecord record, bool failed);

  // server_health.cpp
  static bool expects_answers(const Domain& domain);
  Task<> check_health(std::string domain_name);
  bool begin_healing(const std::string& domain_name);
  Task<> heal(std::string domain_name, domain::DomainRecord record);

  // healing.cpp
  void watch_networks();
  Task<> keep_watching(std::string what, Task<> (State::*begin)());
  Task<> watch_links();
  Task<> watch_firewall();
  void suspect(const std::string& domain_name, Domain& domain);
  Task<> mend_network(std::string domain_name);
  Task<> mend_firewall();
  Task<> mend_forwarding();
  void count_mended(const std::string& domain_name, const std::string& what);

  // restart.cpp
  void plan_restart(domain::DomainRecord& record, bool wanted, milliseconds ran_for);
  void schedule_restart(const std::string& domain_name);
  static void call_off_restart(Domain& domain);
  Task<> restart_later(std::string domain_name, std::shared_ptr<asio::steady_timer> pause);

  // reconcile.cpp
  Task<> load();
  Task<> read_records();
  domain::DomainRecord read_record(const std::string& domain_name, const Json& contents) const;
  void add_records(std::vector<domain::DomainRecord> records);
  void leave_alone(const std::string& domain_name, const std::string& problem);
  Task<> set_aside(std::string domain_name, std::string problem);
  Task<> remove_half(std::string domain_name);
  Task<> settle(std::string domain_name);
  Task<> adopt(std::string domain_name);
  Task<> choose_autostarts();
  Task<> start_automatically(std::string domain_name);

  asio::any_io_executor executor;
  ServerOptions options;
  domain::Settings settings;
  UniqueFd workdir_lock;
  UniqueFd runtime_dir_lock;  // empty if it is the same
  // Declared before the host: its thread must have ended when the host goes.
  asio::thread_pool worker{1};
  domain::LinuxHost host;
  std::map<std::string, Domain, std::less<>> domains;
  // Names of records that cannot be read; they must not be used again.
  std::set<std::string, std::less<>> unreadable;
  TaskGroup tasks;
  domain::EventLog events;
  Semaphore launch_slots;
  bool host_was_restarted = false;
  std::vector<domain::KeptNetwork> kept_networks;
  std::vector<domain::KeptNetwork> reserved;  // by records that cannot be read
  std::uint64_t n_mended = 0;                 // things that others had damaged
};

}  // namespace wso
