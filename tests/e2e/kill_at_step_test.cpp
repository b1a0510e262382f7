// The daemon killed after every step of a launch, a start, a stop and a destruction, with a real
// kernel, disk and QEMU: the next daemon finds the domain whole, or nothing of it. Run under
// tests/support/isolated, as root of a host of its own.
#include <array>
#include <csignal>
#include <filesystem>
#include <fstream>
#include <functional>
#include <iterator>
#include <optional>
#include <set>
#include <sstream>

#include <boost/asio/io_context.hpp>
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <wso/domain/transitions.hpp>

#include "../support/command.hpp"
#include "called_server.hpp"
#include "wrapped_host.hpp"

namespace wso::domain {
namespace {

namespace fs = std::filesystem;

const fs::path root = "/run/kill-at-step";
const std::string web = "web";

using test::Daemon;

ServerOptions options() {
  ServerOptions options;
  options.workdir = root / "state";
  options.runtime_dir = root / "run";
  options.disk_dir = root / "disks";
  options.accel = "tcg";
  return options;
}

DomainSpec spec_of(bool paused) {
  DomainSpec spec;
  spec.domain_name = web;
  spec.memory_kib = 32 * 1024;
  spec.paused = paused;
  return spec;
}

// Tells a pipe of each step that is done, and after so many of them kills its own process. From one
// step's end to the next one's begin nothing happens outside of the process: one kill between two
// steps is as good as two.
class KillingHost final : public WrappedHost {
 public:
  KillingHost(LinuxHost& real, int n_steps, int pipe, bool disk_is_full)
      : WrappedHost(real), n_left_(n_steps), pipe_(pipe), disk_is_full_(disk_is_full) {}

 private:
  void before(const std::string& step) override {
    if (n_left_ == 0) ::raise(SIGKILL);
    if (disk_is_full_ && step.starts_with("record ")) throw_errno(step, ENOSPC);
  }
  void after(const std::string& step) override {
    const std::string line = step + "\n";
    if (::write(pipe_, line.data(), line.size()) < 0) ::_exit(2);
    if (--n_left_ == 0) ::raise(SIGKILL);
  }

  int n_left_;
  int pipe_;
  bool disk_is_full_;
};

using Steps = std::set<std::string>;

enum class Fate { nothing, stopped, alive };

struct Operation {
  std::string name;
  Fate from;         // what is there before
  RunState running;  // how the domain runs, if it does
  std::size_t n_steps;
  Task<> (*perform)(Host& host, LinuxHost& real, DomainRecord record);
  Fate (*fate)(const Steps& done, Fate from);
  bool renews_disk = false;
  bool disk_is_full = false;
};

void PrintTo(const Operation& operation, std::ostream* out) { *out << operation.name; }

// Of another process: this one is to have no thread when it forks, and no QEMU for a child.
void prepare(Fate fate) {
  const pid_t pid = ::fork();
  if (pid == 0) {
    Daemon daemon(options());
    if (fate != Fate::nothing) daemon.call(daemon.server.launch_domain(spec_of(true)));
    if (fate == Fate::stopped) daemon.call(daemon.server.stop_domain(web, true, milliseconds(0)));
    ::_exit(testing::Test::HasFailure() ? 1 : 0);
  }
  int status = 0;
  ::waitpid(pid, &status, 0);
  ASSERT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

// The two halves of all that a daemon does, but for what differs from run to run, and a bridge's
// carrier, which comes a while after its port's.
std::string kernel() {
  return test::output_of(
      "ls /sys/class/net; (ip -br address | awk '{ $2 = \"\"; print }'; "
      "ip route show table all; ip neigh show nud permanent; nft -s list ruleset) | "
      "sed -E 's/([0-9a-f]{2}:){5}[0-9a-f]{2}/MAC/g; s/ linkdown//'; "
      "grep -lsz gues[t]= /proc/[0-9]*/cmdline | wc -l");
}

std::string files() {
  return test::output_of("find " + root.native() + " -not -path '*/log/*' -not -name boot | sort");
}

std::string records() {
  return test::output_of("cat " + root.native() + "/state/domains/* 2>&1 || true");
}

std::string logs() { return test::output_of("ls " + root.native() + "/state/log"); }

struct Picture {
  std::string kernel;
  std::string files;
};

// What a domain of each fate looks like if nobody is killed.
Picture picture_of(Fate fate) {
  static std::array<Picture, 3> pictures = [] {
    std::array<Picture, 3> taken;
    for (const Fate wanted : {Fate::nothing, Fate::stopped, Fate::alive}) {
      prepare(wanted);
      Daemon daemon(options());
      taken.at(static_cast<std::size_t>(wanted)) = {kernel(), files()};
      if (wanted != Fate::nothing) daemon.call(daemon.server.destroy_domain(web));
    }
    return taken;
  }();
  return pictures.at(static_cast<std::size_t>(fate));
}

void expect_picture(Fate fate) {
  EXPECT_EQ(kernel(), picture_of(fate).kernel);
  EXPECT_EQ(files(), picture_of(fate).files);
}

const fs::path disk_path = root / "disks/wso-web-disk.qcow2";
const std::string written_by_guest(64 * 1024, 'g');

struct Disk {
  ino_t inode = 0;
  std::string contents;
  bool operator==(const Disk&) const = default;
};

Disk disk() {
  struct stat status {};
  EXPECT_EQ(::stat(disk_path.c_str(), &status), 0);
  std::ifstream file(disk_path, std::ios::binary);
  return {status.st_ino, std::string(std::istreambuf_iterator<char>(file), {})};
}

// What the daemon does that is to be killed: it takes over what the last one left, and performs.
Task<> take_over_and_perform(const Operation& operation, const Settings& settings, LinuxHost& real,
                             Host& host) {
  const auto loaded = co_await real.load_records();
  DomainRecord record;
  std::vector<DomainPlan> running;
  if (loaded.records.empty()) {
    const Taken nothing_taken{[](const std::string&) { return false; },
                              [](net::Ipv4Address) { return false; }};
    const bool paused = operation.running == RunState::paused;
    record.plan = make_plan(spec_of(paused), settings, nothing_taken, random_uuid());
  } else {
    record = parse_record(loaded.records.front().contents);
    if (has_qemu(record.state)) running.push_back(record.plan);
  }
  std::vector<DomainPlan> gone;
  co_await real.start_networks(std::move(running), std::move(gone));
  co_await operation.perform(host, real, std::move(record));
}

[[noreturn]] void perform_and_die(const Operation& operation, int n_steps, int pipe) {
  asio::io_context loop;
  asio::thread_pool worker(1);
  const Settings settings = make_settings(options());
  LinuxHost real(loop.get_executor(), worker, settings);
  KillingHost host(real, n_steps, pipe, operation.disk_is_full);
  asio::co_spawn(loop, take_over_and_perform(operation, settings, real, host),
                 [](const std::exception_ptr& error) {
                   if (error) std::fprintf(stderr, "%s\n", describe(error).c_str());
                   ::_exit(error ? 1 : 0);
                 });
  loop.run();
  ::_exit(3);
}

// Returns the steps that were done; `killed` is false if there were not so many.
Steps perform(const Operation& operation, int n_steps, bool& killed) {
  std::array<int, 2> ends{};
  EXPECT_EQ(::pipe2(ends.data(), O_CLOEXEC), 0);
  const pid_t pid = ::fork();
  if (pid == 0) perform_and_die(operation, n_steps, ends[1]);
  ::close(ends[1]);
  std::string said;
  std::array<char, 1024> chunk{};
  for (ssize_t got = 0; (got = ::read(ends[0], chunk.data(), chunk.size())) > 0;)
    said.append(chunk.data(), static_cast<std::size_t>(got));
  ::close(ends[0]);
  int status = 0;
  ::waitpid(pid, &status, 0);
  killed = WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL;
  EXPECT_TRUE(killed || (WIFEXITED(status) && WEXITSTATUS(status) == 0)) << status;
  std::istringstream lines(said);
  Steps done;
  for (std::string line; std::getline(lines, line);) done.insert(line);
  return done;
}

void expect_fate(const Daemon& daemon, const Operation& operation, Fate fate) {
  if (fate == Fate::stopped && operation.renews_disk)
    EXPECT_EQ(kernel(), picture_of(fate).kernel);
  else
    expect_picture(fate);
  const auto domains = daemon.server.domains();
  ASSERT_EQ(domains.size(), fate == Fate::nothing ? 0 : 1);
  if (fate == Fate::nothing) return;
  const DomainState& state = domains.front();
  EXPECT_EQ(state.state, fate == Fate::alive ? operation.running : RunState::stopped);
  EXPECT_EQ(test::run("grep -lsz gues[t]= /proc/[0-9]*/cmdline").output,
            fate == Fate::alive ? fmt::format("/proc/{}/cmdline\n", state.pid) : "");
}

// That a domain which is there can be started, stopped and destroyed.
void expect_manageable(Daemon& daemon, Fate fate) {
  if (fate == Fate::alive) {
    daemon.call(daemon.server.stop_domain(web, true, milliseconds(0)));
    expect_picture(Fate::stopped);
  }
  daemon.call(daemon.server.start_domain(web, true));
  expect_picture(Fate::alive);
}

void kill_and_look(const Operation& operation, int n_steps, bool& killed, Steps& done) {
  prepare(operation.from);
  std::optional<Disk> before;
  if (operation.from != Fate::nothing) {
    // Beyond what QEMU knows of.
    std::ofstream(disk_path, std::ios::binary | std::ios::app) << written_by_guest;
    before = disk();
  }
  done = perform(operation, n_steps, killed);
  const Fate fate = operation.fate(done, operation.from);
  std::string first;
  {
    Daemon daemon(options());
    expect_fate(daemon, operation, fate);
    first = kernel() + files() + records();
  }
  Daemon again(options());
  EXPECT_EQ(kernel() + files() + records(), first) << "the second start has changed something";
  expect_fate(again, operation, fate);
  if (fate != Fate::nothing) {
    const bool renewed = operation.renews_disk && done.contains("record starting");
    if (before && !renewed) {
      EXPECT_TRUE(disk() == *before) << "another disk";
    }
    expect_manageable(again, fate);
    if (before) {
      EXPECT_EQ(disk().contents.ends_with(written_by_guest), !renewed);
    }
    again.call(again.server.destroy_domain(web));
  }
  expect_picture(Fate::nothing);
  EXPECT_EQ(logs(), "");
}

Task<> perform_launch(Host& host, LinuxHost& /*real*/, DomainRecord record) {
  co_await launch(host, record.plan);
}

Task<> perform_start(Host& host, LinuxHost& /*real*/, DomainRecord record) {
  co_await start(host, record, true);
}

Task<> perform_recreate(Host& host, LinuxHost& /*real*/, DomainRecord record) {
  record.recreate_pending = true;
  co_await start(host, record, true);
}

Task<> perform_halt(Host& host, LinuxHost& /*real*/, DomainRecord record) {
  co_await halt(host, record);
}

Task<> perform_destroy(Host& host, LinuxHost& /*real*/, DomainRecord record) {
  co_await destroy(host, record);
}

Task<> end_qemu(LinuxHost& real, const DomainRecord& record) {
  const auto qemu = co_await real.find_qemu(record);
  co_await real.stop_qemu(record.plan, qemu.value());
}

Task<> perform_halt_without_qemu(Host& host, LinuxHost& real, DomainRecord record) {
  co_await end_qemu(real, record);
  co_await halt(host, record);
}

// As after a stop whose last record could not be written.
Task<> perform_start_with_old_record(Host& host, LinuxHost& real, DomainRecord record) {
  co_await end_qemu(real, record);
  co_await real.destroy_network(record.plan);
  co_await start(host, record, true);
}

Fate fate_of_launch(const Steps& done, Fate /*from*/) {
  return done.contains("record running") ? Fate::alive : Fate::nothing;
}
Fate fate_of_start(const Steps& done, Fate /*from*/) {
  return done.contains("record paused") ? Fate::alive : Fate::stopped;
}
Fate fate_of_halt(const Steps& done, Fate /*from*/) {
  return done.contains("stop QEMU") ? Fate::stopped : Fate::alive;
}
Fate stopped_always(const Steps& /*done*/, Fate /*from*/) { return Fate::stopped; }
Fate fate_of_destroy(const Steps& done, Fate from) {
  return done.contains("record destroying") ? Fate::nothing : from;
}

const std::vector<Operation> operations = {
    {"Launch", Fate::nothing, RunState::running, 10, perform_launch, fate_of_launch},
    {"Start", Fate::stopped, RunState::paused, 7, perform_start, fate_of_start},
    {"StartWithOldRecord", Fate::alive, RunState::paused, 7, perform_start_with_old_record,
     fate_of_start},
    {"Recreate", Fate::stopped, RunState::paused, 11, perform_recreate, fate_of_start, true},
    {"Halt", Fate::alive, RunState::paused, 5, perform_halt, fate_of_halt},
    {"HaltWithoutQemu", Fate::alive, RunState::paused, 5, perform_halt_without_qemu,
     stopped_always},
    {"Destroy", Fate::alive, RunState::paused, 6, perform_destroy, fate_of_destroy},
    {"DestroyStopped", Fate::stopped, RunState::paused, 6, perform_destroy, fate_of_destroy},
};

// After no step, after one, and so on until there are no more.
void kill_after_each_step(const Operation& operation,
                          void (*kill_and_look)(const Operation&, int, bool&, Steps&)) {
  fs::create_directories(options().disk_dir);
  picture_of(Fate::nothing);
  bool killed = true;
  int n_steps = -1;
  while (killed && !testing::Test::HasFailure()) {
    ++n_steps;
    SCOPED_TRACE(fmt::format("killed after {} steps", n_steps));
    Steps done;
    kill_and_look(operation, n_steps, killed, done);
    if (testing::Test::HasFailure())
      std::printf("done: %s\n", fmt::format("{}", fmt::join(done, ", ")).c_str());
  }
  EXPECT_GT(n_steps, static_cast<int>(operation.n_steps)) << "steps have been lost";
}

class KillAtStepTest : public testing::TestWithParam<Operation> {};

TEST_P(KillAtStepTest, LeavesItWholeOrNothing) { kill_after_each_step(GetParam(), kill_and_look); }

void kill_and_destroy_again(const Operation& operation, int n_steps, bool& killed, Steps& done) {
  prepare(operation.from);
  done = perform(operation, n_steps, killed);
  Daemon daemon(options());
  const bool gone = done.contains("erase record");
  ASSERT_EQ(daemon.server.domains().empty(), gone);
  if (!gone) daemon.call(daemon.server.destroy_domain(web));
  expect_picture(Fate::nothing);
  EXPECT_EQ(logs(), "");
}

// What it was going to do is on no record then.
TEST(KillAtStepOnFullDiskTest, LeavesWhatCanBeDestroyedAgain) {
  kill_after_each_step({.name = "Destroy",
                        .from = Fate::alive,
                        .running = RunState::paused,
                        .n_steps = 5,
                        .perform = perform_destroy,
                        .fate = nullptr,
                        .disk_is_full = true},
                       kill_and_destroy_again);
}

std::string test_name(const testing::TestParamInfo<Operation>& info) { return info.param.name; }

INSTANTIATE_TEST_SUITE_P(Of, KillAtStepTest, testing::ValuesIn(operations), test_name);

}  // namespace
}  // namespace wso::domain
