#include "linux_host.hpp"

#include <csignal>

#include <boost/asio/redirect_error.hpp>
#include <fcntl.h>

#include <wso/base/error.hpp>
#include <wso/base/file.hpp>
#include <wso/base/log.hpp>
#include <wso/base/unix_socket.hpp>
#include <wso/domain/messages.hpp>
#include <wso/domain/qemu_args.hpp>
#include <wso/domain/rotated_log.hpp>
#include <wso/guest/netconfig.hpp>
#include <wso/image/qcow2.hpp>
#include <wso/proc/spawn.hpp>

namespace wso::domain {

namespace fs = std::filesystem;

namespace {

constexpr milliseconds terminate_limit{2000};
constexpr milliseconds kill_limit{10'000};
constexpr milliseconds exit_limit{2000};
constexpr std::size_t last_words_bytes = 2000;
constexpr mode_t script_mode = 0755;
constexpr mode_t disk_mode = 0600;
constexpr mode_t private_mode = 0600;

// What QEMU has printed and nobody has read yet goes into its log; the end of it, on one line, is
// returned.
std::string last_words(const UniqueFd& messages, const fs::path& log_path) {
  std::string said = take_messages(messages).value_or("");
  try {
    append_to_log(log_path, said, log_limit);
  } catch (const Error& error) {
    log::warn("{}", error.what());
  }
  if (said.size() > last_words_bytes) said.erase(0, said.size() - last_words_bytes);
  while (said.ends_with('\n')) said.pop_back();
  std::replace(said.begin(), said.end(), '\n', ' ');
  return said;
}

// Removes a name that only this daemon gives, in a directory that only root writes.
void unlink_own(const fs::path& path) {
  if (::unlink(path.c_str()) != 0 && errno != ENOENT)
    throw_errno(fmt::format("remove {}", path.native()));
}

// A file that has taken the place of ours is somebody's, and no reason to keep a domain.
void remove_own(const fs::path& path, const FileIdentity& identity) {
  if (remove_if_same(path, identity) == Removal::foreign)
    log::warn("{} is not the file that wso made, and is left alone", path.native());
}

// What QEMU opens by name: libraries and modules, firmware, the time zone of its messages, and how
// many CPUs there are. One that is installed elsewhere has its own below the prefix of its path.
std::vector<std::string> files_of_qemu(const fs::path& program) {
  std::vector<std::string> paths = {
      "/usr", "/lib", "/lib64", "/etc/ld.so.cache", "/etc/localtime", "/sys/devices/system"};
  std::error_code ec;
  for (const fs::path& path : {program, fs::canonical(program, ec)}) {
    const fs::path prefix = path.parent_path().parent_path();
    paths.push_back(prefix.has_relative_path() ? prefix : path);
  }
  return paths;
}

struct SpawnedQemu {
  proc::Spawned process;
  UniqueFd console;
  UniqueFd messages;
};

SpawnedQemu spawn_qemu(const DomainPlan& plan, const Settings& settings, const DomainFiles& files,
                       const UniqueFd& tap) {
  const UniqueFd monitor = listen_unix(plan.monitor_path, private_mode);
  NewFileGuard monitor_guard(plan.monitor_path);
  const UniqueFd console = listen_unix(plan.console_path, private_mode);
  NewFileGuard console_guard(plan.console_path);
  const UniqueFd output = create_message_pipe(plan.messages_path());
  NewFileGuard messages_guard(plan.messages_path());
  UniqueFd messages = open_message_pipe(plan.messages_path());
  put_log_aside(plan.log_path);
  create_log(plan.log_path);

  const QemuFds fds{monitor.get(),    console.get(),   tap.get(),
                    files.disk.get(), files.iso.get(), files.script.get()};
  proc::SpawnSpec spec;
  spec.program = settings.qemu;
  spec.arguments = qemu_arguments(plan, settings.acceleration.name, fds);
  spec.inherited_fds = {fds.monitor, fds.console, fds.tap, fds.disk, fds.network_script};
  if (fds.iso >= 0) spec.inherited_fds.push_back(fds.iso);
  spec.readable = files_of_qemu(settings.qemu);
  spec.devices = {"/dev/null", "/dev/urandom", "/dev/kvm"};
  spec.output_fd = output.get();
  spec.uid = uid_of(plan, settings);
  spec.gid = spec.uid;
  if (const auto group = settings.acceleration.device_group) spec.supplementary_groups = {*group};
  try {
    auto spawned = proc::spawn(spec);
    UniqueFd connected = connect_unix(plan.console_path);
    monitor_guard.keep();
    console_guard.keep();
    messages_guard.keep();
    return {std::move(spawned), std::move(connected), std::move(messages)};
  } catch (const Error& error) {
    const std::string said = last_words(messages, plan.log_path);
    if (!said.empty()) throw Error(error.code(), "{}: {}", error.what(), said);
    if (error.code() == Errc::not_found || error.code() == Errc::permission)
      throw Error(error.code(),
                  "{}: the option 'qemu' must name a program that every user may execute",
                  error.what());
    throw;
  }
}

}  // namespace

struct LinuxHost::Batch {
  std::vector<DomainPlan> plans;
  std::optional<detail::Outcome<void>> outcome;
};

LinuxHost::LinuxHost(const asio::any_io_executor& executor, asio::thread_pool& worker,
                     const Settings& settings)
    : worker_(worker),
      settings_(settings),
      records_(settings.records_dir()),
      networks_(settings),
      batch_done_(executor, Clock::time_point::max()) {
  make_directories(settings.runtime_dir, 0755);
  make_directories(settings.log_dir(), 0700);
}

Task<store::LoadedRecords> LinuxHost::load_records() {
  return offload(worker_, [this] { return records_.load(); });
}

Task<fs::path> LinuxHost::set_aside_record(const std::string& domain_name) {
  return offload(worker_, [this, &domain_name] { return records_.set_aside(domain_name); });
}

Task<> LinuxHost::write_boot_marker(const fs::path& path, const std::string& boot_id) {
  return offload(worker_, [&path, &boot_id] { replace_file(path, boot_id, private_mode); });
}

Task<std::vector<KeptNetwork>> LinuxHost::start_networks(std::vector<DomainPlan> running,
                                                         std::vector<DomainPlan> gone) {
  return offload(worker_, [this, running = std::move(running), gone = std::move(gone)] {
    return networks_.start(running, gone);
  });
}

Task<> LinuxHost::stop_networks() {
  return offload(worker_, [this] { networks_.stop(); });
}

Task<std::vector<std::string>> LinuxHost::mend_network(DomainPlan plan) {
  return offload(worker_, [this, plan = std::move(plan)] { return networks_.mend(plan); });
}

Task<> LinuxHost::mend_firewall() {
  return offload(worker_, [this] { networks_.mend_firewall(); });
}

Task<bool> LinuxHost::mend_forwarding() {
  return offload(worker_, [this] { return networks_.mend_forwarding(); });
}

Task<> LinuxHost::write_record(const DomainRecord& record) {
  return offload(
      worker_, [this, &record] { records_.write(record.plan.spec.domain_name, to_json(record)); });
}

Task<> LinuxHost::erase_record(const std::string& domain_name) {
  return offload(worker_, [this, &domain_name] { records_.erase(domain_name); });
}

Task<DomainFiles> LinuxHost::make_files(const DomainPlan& plan) {
  return offload(worker_, [this, &plan] {
    DomainFiles files;
    // First of all, as what users get wrong most.
    if (!plan.spec.iso_path.empty()) files.iso = image::open_iso(plan.spec.iso_path);
    files.disk = create_unnamed_file(settings_.disk_dir, disk_mode);
    image::write_empty_qcow2(files.disk.get(), plan.spec.disk_size_bytes, plan.disk_path);
    files.script = create_unnamed_file(settings_.disk_dir, script_mode);
    const std::string script = guest::network_script(network_config(plan, settings_));
    write_all(files.script.get(), script, plan.script_path);
    return files;
  });
}

Task<> LinuxHost::publish_files(const DomainRecord& record, const DomainFiles& files) {
  return offload(worker_, [&record, &files] {
    link_file(files.disk.get(), record.plan.disk_path);
    NewFileGuard disk(record.plan.disk_path);
    link_file(files.script.get(), record.plan.script_path);
    disk.keep();
  });
}

Task<DomainFiles> LinuxHost::open_files(const DomainRecord& record) {
  return offload(worker_, [&record] {
    const DomainPlan& plan = record.plan;
    DomainFiles files;
    files.disk = open_same_file(plan.disk_path, O_RDWR, record.disk);
    files.script = open_same_file(plan.script_path, O_RDONLY, record.script);
    if (!plan.spec.iso_path.empty()) files.iso = image::open_iso(plan.spec.iso_path);
    return files;
  });
}

Task<> LinuxHost::unpublish_files(const DomainRecord& record) {
  return offload(worker_, [&record] {
    remove_own(record.plan.script_path, record.script);
    remove_own(record.plan.disk_path, record.disk);
  });
}

Task<> LinuxHost::remove_files(const DomainRecord& record) {
  return offload(worker_, [&record] {
    std::string failures;
    const auto attempt = [&failures](auto remove) {
      try {
        remove();
      } catch (const Error& error) {
        failures += fmt::format("{}{}", failures.empty() ? "" : "; ", error.what());
      }
    };
    const DomainPlan& plan = record.plan;
    attempt([&] { remove_log(plan.log_path); });
    attempt([&] { remove_log(plan.console_log_path()); });
    attempt([&] { remove_own(plan.script_path, record.script); });
    if (!record.keep_disk) attempt([&] { remove_own(plan.disk_path, record.disk); });
    if (!failures.empty()) throw Error(Errc::io, "{}", failures);
  });
}

Task<UniqueFd> LinuxHost::build_network(const DomainPlan& plan) {
  return offload(worker_, [this, &plan] { return networks_.build(plan); });
}

Task<> LinuxHost::destroy_network(const DomainPlan& plan) {
  co_await asio::this_coro::reset_cancellation_state(asio::disable_cancellation());
  if (!next_batch_) next_batch_ = std::make_shared<Batch>();
  const auto batch = next_batch_;
  batch->plans.push_back(plan);
  while (!batch->outcome) {
    if (destroying_) {
      boost::system::error_code woken;
      co_await batch_done_.async_wait(asio::redirect_error(asio::use_awaitable, woken));
      continue;
    }
    // The first to find nobody at work does it for all who have come by now.
    destroying_ = true;
    next_batch_.reset();
    auto work = offload(worker_, [this, &batch] { networks_.destroy(batch->plans); });
    batch->outcome = co_await detail::outcome_of(std::move(work));
    destroying_ = false;
    batch_done_.cancel();
  }
  batch->outcome->get();
}

Task<StartedQemu> LinuxHost::start_qemu(const DomainPlan& plan, const DomainFiles& files,
                                        const UniqueFd& tap) {
  auto spawned = co_await offload(
      worker_, [this, &plan, &files, &tap] { return spawn_qemu(plan, settings_, files, tap); });
  co_return StartedQemu{std::move(spawned.process).keep(), std::move(spawned.console),
                        std::move(spawned.messages)};
}

Task<std::optional<proc::Process>> LinuxHost::find_qemu(const DomainRecord& record) {
  return offload(worker_, [this, &record] {
    if (record.qemu.pid == 0)
      return proc::Process::find_by_argument(record.plan.uuid, uid_of(record.plan, settings_));
    // Not by its user, as first_uid may be another by now: the start time tells it from any other.
    auto process = proc::Process::find(record.qemu);
    if (process && !process->has_argument(record.plan.uuid)) process.reset();
    return process;
  });
}

Task<> LinuxHost::stop_qemu(const DomainPlan& plan, const proc::Process& process) {
  // Or its last words would go with it, if nobody else has the pipe open.
  const UniqueFd messages = open_message_pipe(plan.messages_path());
  // QEMU answers SIGTERM by flushing its drives and leaving.
  process.send_signal(SIGTERM);
  auto ended = co_await detail::outcome_of(
      with_deadline("QEMU after SIGTERM", terminate_limit, process.exited()));
  if (ended.error) {
    log::warn("{}: QEMU (pid {}) does not end, and is killed", plan.spec.domain_name,
              process.identity().pid);
    process.send_signal(SIGKILL);
    co_await with_deadline(fmt::format("QEMU (pid {}) after SIGKILL", process.identity().pid),
                           kill_limit, process.exited());
  }
  co_await remove_channels(plan);
}

Task<> LinuxHost::remove_channels(const DomainPlan& plan) {
  return offload(worker_, [&plan] {
    if (const UniqueFd messages = open_message_pipe(plan.messages_path()))
      last_words(messages, plan.log_path);
    unlink_own(plan.messages_path());
    for (const fs::path& path : {plan.monitor_path, plan.console_path}) {
      unlink_own(path);
      // Of a crash while listen_unix() was at work.
      unlink_own(path.native() + ".new");
    }
  });
}

Task<std::shared_ptr<qmp::Client>> LinuxHost::connect_monitor(const DomainPlan& plan,
                                                              const StartedQemu& qemu) {
  auto connecting = qmp::Client::connect("QMP of " + plan.spec.domain_name, plan.monitor_path,
                                         settings_.qemu_start_limit);
  auto connected = co_await detail::outcome_of(std::move(connecting));
  if (!connected.error) co_return connected.get();
  // A monitor that hangs up mostly is a QEMU that has ended, which says why better than the socket.
  if (as_error(connected.error).code() == Errc::disconnected) {
    auto ended =
        co_await detail::outcome_of(with_deadline("QEMU", exit_limit, qemu.process.exited()));
    if (!ended.error) {
      auto listen = [&] { return last_words(qemu.messages, plan.log_path); };
      const std::string said = co_await offload(worker_, listen);
      throw Error(Errc::process, "QEMU {}: {}", ended.get().describe(), said);
    }
  }
  std::rethrow_exception(connected.error);
}

Task<> LinuxHost::verify(const DomainPlan& plan, const std::shared_ptr<qmp::Client>& monitor) {
  const Json uuid = co_await monitor->query("query-uuid");
  if (const auto answer = text_field(uuid, "UUID"); answer != plan.uuid)
    throw Error(Errc::protocol, "{} answers as domain {} instead of {}", plan.monitor_path.native(),
                answer, plan.uuid);
  const Json status = co_await monitor->query("query-status");
  if (const auto answer = text_field(status, "status"); answer != "prelaunch")
    throw Error(Errc::protocol, "QEMU came up as '{}' instead of 'prelaunch'", answer);
}

Task<> LinuxHost::resume(const std::shared_ptr<qmp::Client>& monitor) {
  Json no_arguments = Json::object();
  co_await monitor->execute("cont", std::move(no_arguments), qmp::command_limit);
}

}  // namespace wso::domain
