// Launches with a real kernel, disk and QEMU in which each step in turn fails, or the launch is
// cancelled during it: all is as it was. Run under tests/support/isolated, as root of a host of its
// own.
#include <array>
#include <cstdio>
#include <filesystem>
#include <fstream>

#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/io_context.hpp>
#include <gtest/gtest.h>

#include <wso/domain/lifecycle.hpp>

#include "../../src/domain/linux_host.hpp"

namespace wso::domain {
namespace {

namespace fs = std::filesystem;

const fs::path root = "/run/launch-faults";

enum class Fault { failure, cancellation };

std::string_view name(Fault fault) { return fault == Fault::failure ? "fails" : "is cancelled"; }

// The real host, but for one fault at one of the steps of a launch.
class FaultyHost final : public Host {
 public:
  FaultyHost(LinuxHost& real, std::string step, Fault fault)
      : real_(real), step_(std::move(step)), fault_(fault) {}

  asio::cancellation_signal cancellation;

  Task<> write_record(const DomainRecord& record) override {
    return faulty(record.state == RunState::launching ? "write intent" : "commit",
                  real_.write_record(record));
  }
  Task<> erase_record(const std::string& name) override { return real_.erase_record(name); }
  Task<DomainFiles> make_files(const DomainPlan& plan) override {
    return faulty("make files", real_.make_files(plan));
  }
  Task<> publish_files(const DomainRecord& record, const DomainFiles& files) override {
    return faulty("publish files", real_.publish_files(record, files));
  }
  Task<DomainFiles> open_files(const DomainRecord& record) override {
    return faulty("open files", real_.open_files(record));
  }
  Task<> remove_files(const DomainRecord& record) override { return real_.remove_files(record); }
  Task<UniqueFd> build_network(const DomainPlan& plan) override {
    return faulty("build network", real_.build_network(plan));
  }
  Task<> destroy_network(const DomainPlan& plan) override { return real_.destroy_network(plan); }
  Task<proc::Process> start_qemu(const DomainPlan& plan, const DomainFiles& files,
                                 const UniqueFd& tap) override {
    return faulty("start QEMU", real_.start_qemu(plan, files, tap));
  }
  Task<std::optional<proc::Process>> find_qemu(const DomainRecord& record) override {
    return real_.find_qemu(record);
  }
  Task<> stop_qemu(const DomainPlan& plan, const proc::Process& process) override {
    return real_.stop_qemu(plan, process);
  }
  Task<> remove_sockets(const DomainPlan& plan) override { return real_.remove_sockets(plan); }
  Task<std::shared_ptr<qmp::Client>> connect_monitor(const DomainPlan& plan,
                                                     const proc::Process& process) override {
    return faulty("connect monitor", real_.connect_monitor(plan, process));
  }
  Task<> verify(const DomainPlan& plan, const std::shared_ptr<qmp::Client>& monitor) override {
    return faulty("verify", real_.verify(plan, monitor));
  }
  Task<> resume(const std::shared_ptr<qmp::Client>& monitor) override {
    return faulty("resume", real_.resume(monitor));
  }

 private:
  template <typename T>
  Task<T> faulty(std::string step, Task<T> work) {
    const bool chosen = step == step_;
    if (chosen && fault_ == Fault::failure) throw Error(Errc::kernel, "{} failed on command", step);
    if constexpr (std::is_void_v<T>) {
      co_await std::move(work);
      strike(chosen);
    } else {
      T result = co_await std::move(work);
      strike(chosen);
      co_return result;
    }
  }

  void strike(bool chosen) {
    if (chosen && fault_ == Fault::cancellation)
      cancellation.emit(asio::cancellation_type::terminal);
  }

  LinuxHost& real_;
  std::string step_;
  Fault fault_;
};

std::string output_of(const std::string& command) {
  std::string text;
  FILE* const pipe = ::popen(command.c_str(), "r");
  std::array<char, 4096> buffer{};
  while (const std::size_t size = std::fread(buffer.data(), 1, buffer.size(), pipe))
    text.append(buffer.data(), size);
  EXPECT_EQ(::pclose(pipe), 0) << command;
  return text;
}

// Everything that a launch could have left: in the kernel, on disk, among the processes.
std::string everything() {
  return output_of(
      "ip -o link; ip -o address; ip route show table all; ip neigh show nud permanent; "
      "nft -s list ruleset; find " +
      root.native() + " -not -name log | sort; grep -lsz gues[t]= /proc/[0-9]*/cmdline || true");
}

const std::array<std::string, 10> steps = {
    "make files", "write intent",    "publish files", "open files", "build network",
    "start QEMU", "connect monitor", "verify",        "resume",     "commit"};

class LaunchFaultsTest : public testing::TestWithParam<std::tuple<std::string, Fault>> {};

TEST_P(LaunchFaultsTest, LeaveNothing) {
  const auto& [step, fault] = GetParam();
  asio::io_context loop;
  asio::thread_pool worker(1);
  ServerOptions options;
  options.workdir = root / "state";
  options.runtime_dir = root / "run";
  options.disk_dir = root / "disks";
  options.accel = "tcg";
  fs::create_directories(options.disk_dir);
  const Settings settings = make_settings(options);
  LinuxHost real(loop.get_executor(), worker, settings);
  FaultyHost host(real, step, fault);
  const Taken nothing_taken{[](const std::string&) { return false; },
                            [](net::Ipv4Address) { return false; }};
  DomainSpec spec;
  spec.domain_name = "web";
  spec.memory_kib = 32 * 1024;
  const DomainPlan plan = make_plan(spec, settings, nothing_taken, random_uuid());

  asio::co_spawn(loop, real.start_networks({}, {}),
                 [](const std::exception_ptr& error, const std::vector<KeptNetwork>&) {
                   ASSERT_FALSE(error) << describe(error);
                 });
  loop.run();
  loop.restart();
  const std::string before = everything();

  std::exception_ptr failure;
  auto done = [&](std::exception_ptr error, auto&&...) { failure = error; };
  asio::co_spawn(loop, launch(host, plan),
                 asio::bind_cancellation_slot(host.cancellation.slot(), done));
  loop.run();
  ASSERT_TRUE(failure) << step << " " << name(fault) << ": the launch succeeded";
  EXPECT_EQ(as_error(failure).code(), fault == Fault::cancellation ? Errc::cancelled : Errc::kernel)
      << describe(failure);
  EXPECT_EQ(describe(failure).find("undoing"), std::string::npos) << describe(failure);
  EXPECT_EQ(everything(), before);
  worker.join();
}

std::string test_name(const testing::TestParamInfo<std::tuple<std::string, Fault>>& info) {
  std::string text = fmt::format("{} {}", std::get<0>(info.param), name(std::get<1>(info.param)));
  std::replace(text.begin(), text.end(), ' ', '_');
  return text;
}

INSTANTIATE_TEST_SUITE_P(Fails, LaunchFaultsTest,
                         testing::Combine(testing::ValuesIn(steps),
                                          testing::Values(Fault::failure)),
                         test_name);

// After the commit there is nothing to cancel.
INSTANTIATE_TEST_SUITE_P(Cancelled, LaunchFaultsTest,
                         testing::Combine(testing::ValuesIn(steps.begin(), steps.end() - 1),
                                          testing::Values(Fault::cancellation)),
                         test_name);

}  // namespace
}  // namespace wso::domain
