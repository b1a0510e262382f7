// wsod: the daemon. Reads its configuration, runs a Server behind the control socket until it is
// told to end.
#include <csignal>
#include <cstdio>

#include <CLI/CLI.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/signal_set.hpp>
#include <fcntl.h>
#include <sys/resource.h>
#include <unistd.h>

#include <wso/base/error.hpp>
#include <wso/base/log.hpp>

#include "config.hpp"
#include "control.hpp"

namespace wso::wsod {
namespace {

constexpr int usage_status = 2;

std::int64_t now() {
  return std::chrono::duration_cast<std::chrono::seconds>(
             std::chrono::system_clock::now().time_since_epoch())
      .count();
}

Task<> destroy_those_there(Server& server) {
  TaskGroup work(co_await asio::this_coro::executor);
  const auto destroy = [&server](std::string name) -> Task<> {
    co_await server.destroy_domain(std::move(name));
  };
  for (const auto& domain : server.domains())
    work.spawn("destroy " + domain.domain_name, destroy(domain.domain_name));
  co_await work.join();
}

// One that is just being started or stopped can be destroyed a moment later.
Task<> destroy_all(Server& server) {
  constexpr milliseconds limit{20'000};
  constexpr milliseconds pause{100};
  const auto deadline = Clock::now() + limit;
  asio::steady_timer timer(co_await asio::this_coro::executor);
  while (!server.domains().empty()) {
    co_await destroy_those_there(server);
    if (server.domains().empty()) co_return;
    if (Clock::now() > deadline)
      throw Error(Errc::busy, "{} domains could not be destroyed: see above",
                  server.domains().size());
    timer.expires_after(pause);
    co_await timer.async_wait(asio::use_awaitable);
  }
}

// Each running domain takes some descriptors, and the usual soft limit is made for select(2).
void raise_descriptor_limit() {
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
  limit.rlim_cur = limit.rlim_max;
  ::setrlimit(RLIMIT_NOFILE, &limit);
}

Task<> serve(const Config& config) {
  const auto executor = co_await asio::this_coro::executor;
  asio::signal_set signals(executor, SIGTERM, SIGINT);
  Server server(executor, config.server);
  Context context{server, config.socket, now()};
  // Before the domains are touched: another daemon may live on this socket.
  Control control(executor, config.socket, context);
  co_await server.start();

  TaskGroup accepting(executor);
  accepting.spawn("control socket", control.serve());
  log::info("wsod {} answers on {}", WSO_VERSION, config.socket.native());
  const int signal = co_await signals.async_wait(asio::use_awaitable);
  log::info("ending on signal {}", signal);
  co_await control.stop();
  accepting.cancel();
  co_await accepting.join();
  detail::Outcome<void> destroyed;
  if (config.on_exit == "destroy") destroyed = co_await detail::outcome_of(destroy_all(server));
  co_await server.stop();
  destroyed.get();
}

int run(const Config& config) {
  log::set_level(log::parse_level(config.log_level));
  if (config.on_exit != "keep" && config.on_exit != "destroy")
    throw Error(Errc::invalid_argument, "on_exit '{}': use keep or destroy", config.on_exit);
  // A client or a QEMU that hangs up is an error of one write, not the daemon's end.
  std::signal(SIGPIPE, SIG_IGN);
  raise_descriptor_limit();
  asio::io_context loop(1);
  std::exception_ptr failure;
  asio::co_spawn(loop, serve(config), [&failure](std::exception_ptr error) { failure = error; });
  loop.run();
  if (failure) std::rethrow_exception(failure);
  return 0;
}

// What the command line says, to be laid over the file once that is read.
struct Flags {
  std::string config;
  std::optional<std::string> workdir, runtime_dir, disk_dir, socket, accel, qemu, log_level,
      on_exit;
};

void lay_over(Config& config, const Flags& flags) {
  const auto set = [](auto& target, const std::optional<std::string>& value) {
    if (value) target = *value;
  };
  set(config.server.workdir, flags.workdir);
  set(config.server.runtime_dir, flags.runtime_dir);
  set(config.server.disk_dir, flags.disk_dir);
  set(config.socket, flags.socket);
  set(config.server.accel, flags.accel);
  set(config.server.qemu, flags.qemu);
  set(config.log_level, flags.log_level);
  set(config.on_exit, flags.on_exit);
}

// Who started wsod without them would get its log into whichever file or socket it opens first.
void open_missing_standard_streams() {
  for (const int fd : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO})
    if (::fcntl(fd, F_GETFD) < 0 && ::open("/dev/null", O_RDWR) != fd)
      throw_errno("open /dev/null in place of a standard stream");
}

int main(int argc, char** argv) {
  CLI::App app("wsod: runs virtual machines, each behind a NAT network of its own", "wsod");
  app.set_version_flag("--version", WSO_VERSION);
  app.require_subcommand(1);
  Flags flags;
  CLI::App* run_command = app.add_subcommand("run", "Run the daemon in the foreground");
  run_command->option_defaults()->multi_option_policy(CLI::MultiOptionPolicy::TakeLast);
  run_command->add_option("--config", flags.config, "TOML file");
  run_command->add_option("--workdir", flags.workdir, "records and logs");
  run_command->add_option("--runtime-dir", flags.runtime_dir, "sockets of running domains");
  run_command->add_option("--disk-dir", flags.disk_dir, "disks and network scripts");
  run_command->add_option("--socket", flags.socket, "control socket");
  run_command->add_option("--accel", flags.accel, "auto, kvm or tcg");
  run_command->add_option("--qemu", flags.qemu, "path of qemu-system-x86_64");
  run_command->add_option("--log-level", flags.log_level, "debug, info, warn or error");
  run_command->add_option("--on-exit", flags.on_exit, "keep or destroy the domains");
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : usage_status;
  }
  try {
    open_missing_standard_streams();
    Config config = flags.config.empty() ? Config{} : read_config(flags.config);
    lay_over(config, flags);
    return run(config);
  } catch (...) {
    const Error error = as_error(std::current_exception());
    std::fprintf(stderr, "wsod: %s\n", error.what());
    return error.code() == Errc::invalid_argument ? usage_status : 1;
  }
}

}  // namespace
}  // namespace wso::wsod

int main(int argc, char** argv) { return wso::wsod::main(argc, argv); }
