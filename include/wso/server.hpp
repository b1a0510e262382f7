// The server of domains: what wsod is made of, and what a program embeds that launches domains
// itself.
//
//   wso::Server server(co_await boost::asio::this_coro::executor, {.workdir = "/var/lib/my-vms"});
//   co_await server.start();
//   wso::DomainSpec spec;
//   spec.domain_name = "web";
//   spec.iso_path = "/srv/alpine.iso";
//   wso::DomainState state = co_await server.launch_domain(spec);
//
// It lives on one executor whose thread owns all state; none of it is thread-safe. It works in the
// network namespace of the thread that constructs it, and needs root.
#pragma once

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/awaitable.hpp>
#include <sys/types.h>

#include <wso/domain.hpp>
#include <wso/event.hpp>

namespace wso {

namespace domain {
class Console;
class LogReader;
struct LogRange;
}  // namespace domain

struct ServerOptions {
  std::filesystem::path workdir = "/var/lib/wso";  // records and logs
  std::filesystem::path runtime_dir = "/run/wso";  // the sockets of running domains
  std::filesystem::path disk_dir = "/tmp";         // disks and network scripts
  std::string subnet = "192.168.100.0/24";
  std::string gateway = "192.168.100.1";
  std::vector<std::string> dns_servers = {"8.8.8.8", "8.8.4.4"};
  std::string guest_to_host = "allow";  // "deny": of the host, guests see ICMP, DHCP and DNS only
  std::string accel = "auto";           // "auto", "kvm" or "tcg"
  std::string qemu = "/usr/bin/qemu-system-x86_64";
  // A domain's QEMU runs as the user and group first_uid + the number of its address in the subnet.
  // The default lies where systemd.io/UIDS-GIDS has nothing.
  uid_t first_uid = 1'900'000'000;
  // The pause before the first restart by a restart policy; each further one in a row doubles it,
  // up to a minute.
  std::chrono::milliseconds restart_pause = std::chrono::milliseconds(500);
  // How long a QEMU may take from its start to its first answer.
  std::chrono::milliseconds qemu_start_limit = std::chrono::seconds(30);
};

enum class ProbeKind { ping, ssh, healthy };
enum class LogSource { console, qemu };

class Server {
 public:
  Server(boost::asio::any_io_executor executor, ServerOptions options);
  Server(const Server&) = delete;
  Server& operator=(const Server&) = delete;
  // Domains go on running. Call stop() before, if anything was started.
  ~Server();

  // Loads the firewall and takes over what an earlier server left: running domains are managed
  // again, half-made and half-destroyed ones are removed.
  boost::asio::awaitable<void> start();

  // The last call, when no other is under way any more. Domains go on running; if there are none,
  // the firewall table is removed too.
  boost::asio::awaitable<void> stop();

  // Everything or nothing: after an exception, or when cancelled, nothing of the domain is left.
  boost::asio::awaitable<DomainState> launch_domain(DomainSpec spec);

  // Stops the guest and removes all of it. Returns its last state.
  boost::asio::awaitable<DomainState> destroy_domain(std::string domain_name,
                                                     bool keep_disk = false);

  // The verbs. What each does in which state stands in <wso/domain/transitions.hpp>: a domain with
  // another verb under way is Errc::busy, a state that does not allow it Errc::wrong_state.

  // The result of an earlier stop, a crash or a power-off: with its disk, address and MAC. After an
  // exception, or when cancelled, it is stopped as before.
  boost::asio::awaitable<VerbResult> start_domain(std::string domain_name, bool paused = false);

  // Presses the power button and waits for the guest to power off. After the limit that is
  // Errc::timeout, and the domain runs on; by force, QEMU is ended then, and killed if need be.
  boost::asio::awaitable<VerbResult> stop_domain(
      std::string domain_name, bool force = false,
      std::chrono::milliseconds limit = std::chrono::seconds(60));

  // Presses the power button, and starts the guest anew within the same QEMU when it has powered
  // off. Errc::timeout if it does not.
  boost::asio::awaitable<VerbResult> reboot_domain(
      std::string domain_name, std::chrono::milliseconds limit = std::chrono::seconds(60));

  // The reset button: the guest is not asked.
  boost::asio::awaitable<VerbResult> reset_domain(std::string domain_name);

  // Stops the vCPUs, and lets them go on.
  boost::asio::awaitable<VerbResult> pause_domain(std::string domain_name);
  boost::asio::awaitable<VerbResult> resume_domain(std::string domain_name);

  // What is known without asking anyone, in order of name.
  [[nodiscard]] std::vector<DomainState> domains() const;
  [[nodiscard]] DomainState domain(std::string_view domain_name) const;

  // The same with what QEMU and the kernel say now. No names: all domains.
  boost::asio::awaitable<std::vector<DomainStatus>> status(std::vector<std::string> names);

  // Pings the domains and looks for an SSH server. No names: all running domains.
  boost::asio::awaitable<std::vector<DomainCheck>> check(std::vector<std::string> names);

  // Waits until the probe succeeds, or until the domain's own health check says that it is healthy.
  // Returns how long that took.
  boost::asio::awaitable<std::chrono::milliseconds> wait_for(std::string domain_name,
                                                             ProbeKind kind,
                                                             std::chrono::milliseconds limit);

  // The script that sets up the guest's network.
  [[nodiscard]] std::string network_script(std::string_view domain_name) const;

  [[nodiscard]] std::vector<NetworkState> networks() const;
  [[nodiscard]] NetworkState network(std::string_view network_name) const;

  // Waits for events newer than the one with this number; 0: all that are remembered.
  boost::asio::awaitable<EventBatch> next_events(std::int64_t after);
  // The number of the newest event.
  [[nodiscard]] std::int64_t last_event() const;

  // The console of a domain that has a QEMU: <wso/domain/console.hpp>.
  [[nodiscard]] std::shared_ptr<domain::Console> console(std::string_view domain_name) const;
  // What its console, or QEMU itself, has printed: <wso/domain/log_reader.hpp>. The server must
  // outlive it.
  boost::asio::awaitable<std::shared_ptr<domain::LogReader>> open_log(std::string domain_name,
                                                                      LogSource source,
                                                                      domain::LogRange range);

  // How many things of the networks others have damaged since the start, all of them mended.
  [[nodiscard]] std::uint64_t n_mended() const;

  // The options, with "auto" decided.
  [[nodiscard]] const ServerOptions& options() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace wso
