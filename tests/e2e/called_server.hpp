// A server in the test's own process.
#pragma once

#include <boost/asio/io_context.hpp>
#include <gtest/gtest.h>

#include <wso/base/task.hpp>
#include <wso/server.hpp>

namespace wso::test {

// Called as if nothing were asynchronous.
class Daemon {
 public:
  explicit Daemon(const ServerOptions& options) : server(loop_.get_executor(), options) {
    call(server.start());
  }
  Daemon(const Daemon&) = delete;
  Daemon& operator=(const Daemon&) = delete;
  ~Daemon() {
    call(server.stop());
    loop_.run();
  }

  template <typename T>
  void call(Task<T> task) {
    bool done = false;
    asio::co_spawn(loop_, std::move(task), [&](const std::exception_ptr& error, auto&&...) {
      done = true;
      if (error) ADD_FAILURE() << describe(error);
    });
    loop_.restart();
    while (!done && loop_.run_one() > 0) continue;
    ASSERT_TRUE(done) << "waits for nothing";
  }

 private:
  asio::io_context loop_;

 public:
  Server server;
};

}  // namespace wso::test
