// Networks that are destroyed at once: who waits for the others does nothing meanwhile.
#include <boost/asio/io_context.hpp>

#include <wso/base/error.hpp>

#include "../../src/domain/linux_host.hpp"
#include "../unit/base/scratch.hpp"
#include "networks_fixture.hpp"

namespace wso::test {
namespace {

// Runs the tasks side by side; returns in how many steps.
int run_all(asio::io_context& loop, std::vector<Task<>> tasks) {
  const auto done = [](const std::exception_ptr& error) {
    if (error) ADD_FAILURE() << describe(error);
  };
  for (Task<>& task : tasks) asio::co_spawn(loop, std::move(task), done);
  loop.restart();
  int n_steps = 0;
  while (loop.run_one() > 0) ++n_steps;
  return n_steps;
}

Task<> start(domain::LinuxHost& host) {
  std::vector<domain::DomainPlan> running;
  std::vector<domain::DomainPlan> gone;
  co_await host.start_networks(std::move(running), std::move(gone));
}

Task<> build(domain::LinuxHost& host, const domain::DomainPlan& plan) {
  co_await host.build_network(plan);
}

class BatchTest : public NetnsTest {};

TEST_F(BatchTest, WaitersSleep) {
  const Scratch scratch;
  domain::Settings settings = make_settings();
  settings.workdir = settings.runtime_dir = scratch.root();
  asio::io_context loop;
  asio::thread_pool worker(1);
  domain::LinuxHost host(loop.get_executor(), worker, settings);
  std::vector<domain::DomainPlan> plans;
  for (const char* name : {"a", "b", "c", "d", "e", "f", "g", "h"}) plans.push_back(plan_for(name));
  std::vector<Task<>> builds;
  builds.push_back(start(host));
  for (const auto& plan : plans) builds.push_back(build(host, plan));
  run_all(loop, std::move(builds));
  ASSERT_NE(run("ip -o link").find("virbrh"), std::string::npos);

  std::vector<Task<>> destructions;
  for (const auto& plan : plans) destructions.push_back(host.destroy_network(plan));
  constexpr int steps_for_each = 20;
  EXPECT_LT(run_all(loop, std::move(destructions)),
            steps_for_each * static_cast<int>(plans.size()));
  std::vector<Task<>> end;
  end.push_back(host.stop_networks());
  run_all(loop, std::move(end));
}

}  // namespace
}  // namespace wso::test
