// Launches a domain from a program of one's own, and destroys it on Enter: launch WORKDIR ISO
#include <iostream>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <unistd.h>

#include <wso/server.hpp>

namespace asio = boost::asio;

asio::awaitable<void> wait_for_enter() {
  asio::posix::stream_descriptor input(co_await asio::this_coro::executor, ::dup(STDIN_FILENO));
  boost::system::error_code ended;  // what cannot be waited for has ended, too
  co_await input.async_wait(asio::posix::stream_descriptor::wait_read,
                            asio::redirect_error(asio::use_awaitable, ended));
}

asio::awaitable<void> run(std::string workdir, std::string iso_path) {
  wso::ServerOptions options;
  options.workdir = workdir;
  options.runtime_dir = workdir + "/run";
  options.disk_dir = workdir;
  wso::Server server(co_await asio::this_coro::executor, options);
  co_await server.start();

  wso::DomainSpec spec;
  spec.domain_name = "example";
  spec.n_cpus = 2;
  spec.memory_kib = 256 * 1024;
  spec.iso_path = iso_path;
  const wso::DomainState state = co_await server.launch_domain(spec);
  std::cout << state.ip_address << " on " << state.network_name << std::endl;

  co_await wait_for_enter();
  co_await server.destroy_domain("example");
  co_await server.stop();
}

int main(int argc, char** argv) {
  if (argc != 3) return 2;
  try {
    asio::io_context loop;
    asio::co_spawn(loop, run(argv[1], argv[2]), [](std::exception_ptr error) {
      if (error) std::rethrow_exception(error);
    });
    loop.run();
  } catch (const std::exception& error) {
    std::cerr << "launch: " << error.what() << '\n';
    return 1;
  }
}
