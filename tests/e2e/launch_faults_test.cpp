// Launches with a real kernel, disk and QEMU in which each step in turn fails, or the launch is
// cancelled during it: all is as it was. Run under tests/support/isolated, as root of a host of its
// own.
#include <array>
#include <filesystem>

#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/io_context.hpp>
#include <gtest/gtest.h>

#include "../support/command.hpp"
#include "wrapped_host.hpp"

namespace wso::domain {
namespace {

namespace fs = std::filesystem;

const fs::path root = "/run/launch-faults";

enum class Fault { failure, cancellation };

std::string_view name(Fault fault) { return fault == Fault::failure ? "fails" : "is cancelled"; }

// The real host, but for one fault at one of the steps of a launch.
class FaultyHost final : public WrappedHost {
 public:
  FaultyHost(LinuxHost& real, std::string step, Fault fault)
      : WrappedHost(real), step_(std::move(step)), fault_(fault) {}

  asio::cancellation_signal cancellation;

 private:
  void before(const std::string& step) override {
    if (step == step_ && fault_ == Fault::failure)
      throw Error(Errc::kernel, "{} failed on command", step);
  }
  void after(const std::string& step) override {
    if (step == step_ && fault_ == Fault::cancellation)
      cancellation.emit(asio::cancellation_type::terminal);
  }

  std::string step_;
  Fault fault_;
};

// Everything that a launch could have left: in the kernel, on disk, among the processes.
std::string everything() {
  return test::output_of(
      "ip -o link; ip -o address; ip route show table all; ip neigh show nud permanent; "
      "nft -s list ruleset; find " +
      root.native() + " -not -name log | sort; grep -lsz gues[t]= /proc/[0-9]*/cmdline || true");
}

const std::array<std::string, 10> steps = {
    "make files", "record launching", "publish files", "open files", "build network",
    "start QEMU", "connect monitor",  "verify",        "resume",     "record running"};

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
