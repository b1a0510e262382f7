// A launch that fails, or is cancelled, at each of its steps in turn.
#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/io_context.hpp>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/socket.h>

#include <wso/domain/lifecycle.hpp>

#include "fixtures.hpp"

namespace wso::domain {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using Log = std::vector<std::string>;

UniqueFd some_file() { return UniqueFd(::memfd_create("test", MFD_CLOEXEC)); }

// Does nothing but remember what it was asked; fails, or pulls the plug, at a chosen step.
class FakeHost final : public Host {
 public:
  Log done;
  std::string failing;
  Errc failure = Errc::kernel;
  std::string cancelling;
  asio::cancellation_signal cancellation;

  Task<> write_record(const DomainRecord& record) override {
    return step(record.state == RunState::launching ? "write intent"
                                                    : fmt::format("write {}", name(record.state)));
  }
  Task<> erase_record(const std::string& /*domain_name*/) override { return step("erase record"); }
  Task<DomainFiles> make_files(const DomainPlan& /*plan*/) override {
    co_await step("make files");
    DomainFiles files;
    files.disk = some_file();
    files.script = some_file();
    co_return files;
  }
  Task<> publish_files(const DomainRecord& /*record*/, const DomainFiles& /*files*/) override {
    return step("publish files");
  }
  Task<DomainFiles> open_files(const DomainRecord& /*record*/) override {
    co_await step("open files");
    co_return DomainFiles();
  }
  Task<> unpublish_files(const DomainRecord& /*record*/) override {
    return step("unpublish files");
  }
  Task<> remove_files(const DomainRecord& /*record*/) override { return step("remove files"); }
  Task<UniqueFd> build_network(const DomainPlan& /*plan*/) override {
    co_await step("build network");
    co_return some_file();
  }
  Task<> destroy_network(const DomainPlan& /*plan*/) override { return step("destroy network"); }
  Task<StartedQemu> start_qemu(const DomainPlan& /*plan*/, const DomainFiles& /*files*/,
                               const UniqueFd& /*tap*/) override {
    co_await step("start QEMU");
    co_return StartedQemu();
  }
  Task<std::optional<proc::Process>> find_qemu(const DomainRecord& /*record*/) override {
    co_await step("find QEMU");
    co_return proc::Process();
  }
  Task<> stop_qemu(const DomainPlan& /*plan*/, const proc::Process& /*process*/) override {
    return step("stop QEMU");
  }
  Task<> remove_channels(const DomainPlan& /*plan*/) override { return step("remove channels"); }
  Task<std::shared_ptr<qmp::Client>> connect_monitor(const DomainPlan& /*plan*/,
                                                     const StartedQemu& /*qemu*/) override {
    co_await step("connect monitor");
    co_return nullptr;
  }
  Task<> verify(const DomainPlan& /*plan*/,
                const std::shared_ptr<qmp::Client>& /*monitor*/) override {
    return step("verify");
  }
  Task<> resume(const std::shared_ptr<qmp::Client>& /*monitor*/) override { return step("resume"); }

 private:
  // Suspends, so that a cancellation has its chance, as every real step does.
  Task<> step(std::string what) {
    asio::steady_timer timer(co_await asio::this_coro::executor, milliseconds(0));
    co_await timer.async_wait(asio::use_awaitable);
    if (what == failing) throw Error(failure, "{} failed", what);
    done.push_back(what);
    if (what == cancelling) cancellation.emit(asio::cancellation_type::terminal);
  }
};

const Log launch_steps = {"make files",    "write intent", "publish files",   "open files",
                          "build network", "start QEMU",   "connect monitor", "verify",
                          "resume",        "write running"};

// What each step that is done leaves to be undone, in the order of doing.
const std::vector<std::pair<std::string, std::string>> undo_of = {
    {"write intent", "erase record"},
    {"publish files", "remove files"},
    {"build network", "destroy network"},
    {"start QEMU", "stop QEMU"}};

Log expected_after(std::size_t steps_done) {
  Log log(launch_steps.begin(), launch_steps.begin() + static_cast<std::ptrdiff_t>(steps_done));
  Log undone;
  for (const auto& [step, undo] : undo_of)
    if (std::find(log.begin(), log.end(), step) != log.end()) undone.insert(undone.begin(), undo);
  log.insert(log.end(), undone.begin(), undone.end());
  return log;
}

// The error that the launch ended with; nullptr if it succeeded.
template <typename T>
std::exception_ptr run(FakeHost& host, Task<T> task) {
  asio::io_context loop;
  std::exception_ptr result;
  auto done = [&](std::exception_ptr error, auto&&...) { result = error; };
  asio::co_spawn(loop, std::move(task),
                 asio::bind_cancellation_slot(host.cancellation.slot(), done));
  loop.run();
  return result;
}

TEST(LaunchTest, DoesItsStepsInOrder) {
  FakeHost host;
  EXPECT_EQ(run(host, launch(host, test::plan_for("web"))), nullptr);
  EXPECT_EQ(host.done, launch_steps);
}

TEST(LaunchTest, PausedIsNotResumed) {
  FakeHost host;
  DomainPlan plan = test::plan_for("web");
  plan.spec.paused = true;
  EXPECT_EQ(run(host, launch(host, plan)), nullptr);
  EXPECT_EQ(std::count(host.done.begin(), host.done.end(), "resume"), 0);
  EXPECT_EQ(host.done.back(), "write paused");
}

TEST(LaunchTest, AFailureAtAnyStepUndoesThoseBefore) {
  for (std::size_t k = 0; k < launch_steps.size(); ++k) {
    FakeHost host;
    host.failing = launch_steps[k];
    const auto error = run(host, launch(host, test::plan_for("web")));
    ASSERT_NE(error, nullptr) << host.failing;
    EXPECT_EQ(as_error(error).code(), Errc::kernel);
    EXPECT_EQ(describe(error), "launch web: " + launch_steps[k] + " failed");
    EXPECT_EQ(host.done, expected_after(k)) << host.failing;
  }
}

TEST(LaunchTest, ACancellationAtAnyStepUndoesIt) {
  // After the last step, the commit, there is nothing left to be cancelled.
  for (std::size_t k = 0; k + 1 < launch_steps.size(); ++k) {
    FakeHost host;
    host.cancelling = launch_steps[k];
    const auto error = run(host, launch(host, test::plan_for("web")));
    ASSERT_NE(error, nullptr) << host.cancelling;
    EXPECT_EQ(as_error(error).code(), Errc::cancelled);
    EXPECT_EQ(host.done, expected_after(k + 1)) << host.cancelling;
  }
}

const Log start_steps = {"write starting",  "open files", "build network", "start QEMU",
                         "connect monitor", "verify",     "resume",        "write running"};
const Log recreate_steps = {"unpublish files", "make files", "write starting", "publish files"};

DomainRecord stopped_record() {
  DomainRecord record;
  record.plan = test::plan_for("web");
  record.state = RunState::stopped;
  record.reason = "why";
  return record;
}

// What a start leaves after so many of its steps are done.
Log expected_after(const Log& steps, std::size_t steps_done) {
  Log log(steps.begin(), steps.begin() + static_cast<std::ptrdiff_t>(steps_done));
  const auto done = [&](const char* step) {
    return std::find(log.begin(), log.end(), step) != log.end();
  };
  Log undone;
  if (done("start QEMU")) undone.push_back("stop QEMU");
  if (done("build network")) undone.push_back("destroy network");
  if (done("write starting")) undone.push_back("write stopped");
  log.insert(log.end(), undone.begin(), undone.end());
  return log;
}

TEST(StartTest, DoesItsStepsInOrder) {
  FakeHost host;
  DomainRecord record = stopped_record();
  EXPECT_EQ(run(host, start(host, record, false)), nullptr);
  EXPECT_EQ(host.done, start_steps);
}

TEST(StartTest, GivesADomainThatIsRecreatedNewFiles) {
  FakeHost host;
  DomainRecord record = stopped_record();
  record.recreate_pending = true;
  EXPECT_EQ(run(host, start(host, record, false)), nullptr);
  Log expected = start_steps;
  expected.insert(expected.begin() + 1, recreate_steps.begin(), recreate_steps.end());
  EXPECT_EQ(host.done, expected);
  EXPECT_FALSE(record.recreate_pending);
}

TEST(StartTest, AFailureOrCancellationAtAnyStepLeavesItStopped) {
  for (std::size_t k = 0; k < start_steps.size(); ++k) {
    FakeHost failing;
    failing.failing = start_steps[k];
    DomainRecord record = stopped_record();
    const auto error = run(failing, start(failing, record, false));
    ASSERT_NE(error, nullptr) << failing.failing;
    EXPECT_EQ(describe(error), "start web: " + start_steps[k] + " failed");
    EXPECT_EQ(failing.done, expected_after(start_steps, k)) << failing.failing;
    if (k > 0) {
      EXPECT_EQ(record.state, RunState::stopped);
    }
    if (k + 1 == start_steps.size()) continue;  // after the commit nothing is left to be cancelled
    FakeHost cancelled;
    cancelled.cancelling = start_steps[k];
    record = stopped_record();
    ASSERT_NE(run(cancelled, start(cancelled, record, false)), nullptr) << cancelled.cancelling;
    EXPECT_EQ(cancelled.done, expected_after(start_steps, k + 1)) << cancelled.cancelling;
  }
}

TEST(StartTest, HalfARecreationIsDoneAgain) {
  for (const std::string& step : recreate_steps) {
    FakeHost host;
    host.failing = step;
    DomainRecord record = stopped_record();
    record.recreate_pending = true;
    ASSERT_NE(run(host, start(host, record, false)), nullptr);
    EXPECT_TRUE(record.recreate_pending) << step;
  }
}

TEST(HaltTest, DoesItsStepsInOrder) {
  FakeHost host;
  DomainRecord record = stopped_record();
  record.state = RunState::running;
  record.qemu = {42, 43};
  std::optional<DomainRecord> halted;
  const auto keep = [&]() -> Task<> { halted = co_await halt(host, record); };
  EXPECT_EQ(run(host, keep()), nullptr);
  EXPECT_THAT(host.done, ElementsAre("write stopping", "find QEMU", "stop QEMU", "destroy network",
                                     "write stopped"));
  record.state = RunState::stopped;
  record.qemu = {};
  EXPECT_EQ(halted, record);
}

TEST(HaltTest, AFailureAtAnyStepLeavesTheNextStartToGoOn) {
  for (const char* step : {"find QEMU", "stop QEMU", "destroy network", "write stopped"}) {
    FakeHost host;
    host.failing = step;
    const auto error = run(host, halt(host, stopped_record()));
    ASSERT_NE(error, nullptr);
    EXPECT_EQ(describe(error), fmt::format("stop web: {} failed", step));
    EXPECT_EQ(std::count(host.done.begin(), host.done.end(), "write stopped"), 0);
  }
}

TEST(HaltTest, WritesNothingBeforeItHasUndoneHalfAStart) {
  for (const RunState state : {RunState::starting, RunState::stopping}) {
    FakeHost host;
    DomainRecord record = stopped_record();
    record.state = state;
    EXPECT_EQ(run(host, halt(host, record)), nullptr);
    EXPECT_THAT(host.done,
                ElementsAre("find QEMU", "stop QEMU", "destroy network", "write stopped"))
        << name(state);
  }
  FakeHost host;
  DomainRecord record = stopped_record();
  record.state = RunState::stopping;
  record.qemu = {42, 43};
  EXPECT_EQ(run(host, halt(host, record)), nullptr);
  EXPECT_EQ(host.done.front(), "write stopping") << "of a domain that has run";
}

TEST(HaltTest, IsNotCancelledHalfWay) {
  FakeHost host;
  host.cancelling = "stop QEMU";
  EXPECT_EQ(run(host, halt(host, stopped_record())), nullptr);
  EXPECT_EQ(host.done.back(), "write stopped");
}

TEST(DestroyTest, DoesItsStepsInOrder) {
  FakeHost host;
  EXPECT_EQ(run(host, destroy(host, stopped_record())), nullptr);
  EXPECT_THAT(host.done, ElementsAre("write destroying", "find QEMU", "stop QEMU",
                                     "destroy network", "remove files", "erase record"));
}

TEST(DestroyTest, WritesNothingToRemoveHalfALaunchOrTheRestOfADestruction) {
  for (const RunState state : {RunState::launching, RunState::destroying}) {
    FakeHost host;
    DomainRecord record = stopped_record();
    record.state = state;
    EXPECT_EQ(run(host, destroy(host, record)), nullptr);
    EXPECT_EQ(host.done.front(), "find QEMU") << name(state);
    EXPECT_EQ(host.done.back(), "erase record");
  }
}

TEST(DestroyTest, MakesRoomOnAFullDisk) {
  FakeHost host;
  host.failing = "write destroying";
  host.failure = Errc::no_space;
  EXPECT_EQ(run(host, destroy(host, stopped_record())), nullptr);
  EXPECT_THAT(host.done, ElementsAre("find QEMU", "stop QEMU", "destroy network", "remove files",
                                     "erase record"));
}

TEST(DestroyTest, RemovesNothingIfItCannotBeRecorded) {
  FakeHost host;
  host.failing = "write destroying";
  host.failure = Errc::io;
  EXPECT_NE(run(host, destroy(host, stopped_record())), nullptr);
  EXPECT_TRUE(host.done.empty());
}

TEST(DestroyTest, KeepsTheRecordOfWhatItCouldNotRemove) {
  FakeHost host;
  host.failing = "destroy network";
  const auto error = run(host, destroy(host, stopped_record()));
  ASSERT_NE(error, nullptr);
  EXPECT_THAT(describe(error), HasSubstr("destroy web: destroy network failed"));
  // The files are removed all the same, the record is not.
  EXPECT_EQ(host.done.back(), "remove files");
}

TEST(DestroyTest, LeavesTheNetworkOfAQemuThatDoesNotDie) {
  FakeHost host;
  host.failing = "stop QEMU";
  EXPECT_NE(run(host, destroy(host, stopped_record())), nullptr);
  EXPECT_EQ(host.done.back(), "find QEMU");
}

TEST(DestroyTest, IsNotCancelledHalfWay) {
  FakeHost host;
  host.cancelling = "stop QEMU";
  EXPECT_EQ(run(host, destroy(host, stopped_record())), nullptr);
  EXPECT_EQ(host.done.back(), "erase record");
}

}  // namespace
}  // namespace wso::domain
