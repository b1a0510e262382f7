#include <array>

#include <boost/asio/posix/stream_descriptor.hpp>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <wso/base/error.hpp>
#include <wso/base/log.hpp>
#include <wso/domain/messages.hpp>
#include <wso/domain/rotated_log.hpp>

namespace wso::domain {
namespace {

namespace fs = std::filesystem;

// Of one read, and the pause between two: together they bound what a flood of messages costs.
constexpr std::size_t chunk_bytes = 64 * 1024;  // the capacity of a pipe: pipe(7)
constexpr milliseconds read_pause{10};

UniqueFd open_fifo(const fs::path& path, int access) {
  UniqueFd pipe(::open(path.c_str(), access | O_NONBLOCK | O_NOFOLLOW | O_CLOEXEC));
  if (!pipe && errno != ENOENT) throw_errno(fmt::format("open {}", path.native()));
  return pipe;
}

}  // namespace

UniqueFd create_message_pipe(const fs::path& path) {
  if (::unlink(path.c_str()) != 0 && errno != ENOENT)
    throw_errno(fmt::format("remove {}", path.native()));
  if (::mkfifo(path.c_str(), S_IRUSR | S_IWUSR) != 0)
    throw_errno(fmt::format("create {}", path.native()));
  // At both ends, which fifo(7) allows on Linux.
  return open_fifo(path, O_RDWR);
}

UniqueFd open_message_pipe(const fs::path& path) { return open_fifo(path, O_RDONLY); }

std::optional<std::string> take_messages(const UniqueFd& pipe) {
  std::string messages(chunk_bytes, '\0');
  const ssize_t got = ::read(pipe.get(), messages.data(), messages.size());
  if (got == 0) return std::nullopt;
  if (got < 0 && errno != EAGAIN && errno != EINTR) throw_errno("read what QEMU has printed");
  messages.resize(got < 0 ? 0 : static_cast<std::size_t>(got));
  return messages;
}

Task<> keep_messages(asio::thread_pool& worker, UniqueFd pipe, fs::path log_path) {
  const auto executor = co_await asio::this_coro::executor;
  asio::posix::stream_descriptor readable(executor, ::fcntl(pipe.get(), F_DUPFD_CLOEXEC, 0));
  bool failed = false;
  while (true) {
    co_await readable.async_wait(asio::posix::descriptor_base::wait_read, asio::use_awaitable);
    auto move_some = [&pipe, &log_path] {
      const auto messages = take_messages(pipe);
      if (messages) append_to_log(log_path, *messages, log_limit);
      return messages.has_value();
    };
    auto moving = offload(worker, move_some);
    auto moved = co_await detail::outcome_of(std::move(moving));
    // QEMU goes on without its log.
    if (moved.error && !failed) log::warn("{}", describe(moved.error));
    failed = moved.error != nullptr;
    if (!failed && !moved.get()) co_return;
    co_await pause_for(read_pause);
  }
}

}  // namespace wso::domain
