#include <array>

#include <boost/asio/redirect_error.hpp>
#include <boost/asio/write.hpp>

#include <wso/base/error.hpp>
#include <wso/base/log.hpp>
#include <wso/base/unix_socket.hpp>
#include <wso/domain/console.hpp>
#include <wso/domain/rotated_log.hpp>

namespace wso::domain {
namespace {

// Together these bound what a guest that prints without end costs: 100 reads, and 1.6 MB, a second.
constexpr std::size_t chunk_bytes = 16 * 1024;
constexpr milliseconds read_pause{10};

constexpr milliseconds first_retry{100};
constexpr milliseconds longest_retry{10'000};

}  // namespace

std::shared_ptr<Console> Console::open(TaskGroup& tasks, asio::thread_pool& worker,
                                       std::string domain_name, std::filesystem::path socket_path,
                                       std::filesystem::path log_path, UniqueFd connection) {
  const std::string what = "console of " + domain_name;
  auto console =
      std::make_shared<Console>(tasks.executor(), worker, std::move(domain_name),
                                std::move(socket_path), std::move(log_path), std::move(connection));
  tasks.spawn(what, run(console));
  return console;
}

Console::Console(asio::any_io_executor executor, asio::thread_pool& worker, std::string domain_name,
                 std::filesystem::path socket_path, std::filesystem::path log_path,
                 UniqueFd connection)
    : worker_(worker),
      domain_name_(std::move(domain_name)),
      socket_path_(std::move(socket_path)),
      log_path_(std::move(log_path)),
      socket_(executor),
      pause_(executor),
      changed_(executor, Clock::time_point::max()) {
  if (connection) socket_.assign(asio::local::stream_protocol(), connection.get());
  (void)connection.release();
}

void Console::close() {
  closed_ = true;
  pause_.cancel();
  boost::system::error_code ignored;
  socket_.cancel(ignored);
}

Task<> Console::run(std::shared_ptr<Console> self) {
  auto outcome = co_await detail::outcome_of(self->stay_connected());
  self->ended_ = true;
  self->changed_.cancel();
  outcome.get();
}

Task<> Console::stay_connected() {
  co_await create_log();
  milliseconds retry = first_retry;
  while (!closed_) {
    bool heard = false;
    const bool connected = co_await connect();
    if (connected) heard = co_await drain();
    connected_ = false;
    boost::system::error_code ignored;
    socket_.close(ignored);
    // QEMU hangs up for no reason of its own, so one that does it again and again is not well.
    if (heard) retry = first_retry;
    if (!closed_) co_await pause(retry);
    retry = std::min(retry * 2, longest_retry);
  }
}

Task<bool> Console::connect() {
  boost::system::error_code failure;
  if (!socket_.is_open()) {
    check_socket_path(socket_path_);
    const asio::local::stream_protocol::endpoint endpoint(socket_path_.native());
    co_await socket_.async_connect(endpoint, asio::redirect_error(asio::use_awaitable, failure));
  }
  // Asio takes a full queue of a UNIX socket for success, which only this tells apart.
  if (!failure) socket_.remote_endpoint(failure);
  if (!failure) socket_.non_blocking(true, failure);
  if (failure) {
    log::debug("console of {}: connect to {}: {}", domain_name_, socket_path_.native(),
               failure.message());
    co_return false;
  }
  connected_ = true;
  changed_.cancel();
  co_return true;
}

// Until the connection ends; true if anything came.
Task<bool> Console::drain() {
  bool heard = false;
  while (true) {
    boost::system::error_code woken;  // what is wrong with the socket, receive() finds too
    if (!closed_)
      co_await socket_.async_wait(Socket::wait_read,
                                  asio::redirect_error(asio::use_awaitable, woken));
    auto bytes = receive();
    if (!bytes || (bytes->empty() && closed_)) co_return heard;
    if (bytes->empty()) continue;
    heard = true;
    remember(*bytes);
    co_await log(*std::move(bytes));
    if (!closed_) co_await pause(read_pause);
  }
}

// What has come so far; nullopt at the end of the connection.
std::optional<std::string> Console::receive() {
  std::array<char, chunk_bytes> chunk;  // here, as a buffer in the coroutine would be kept for good
  boost::system::error_code failure;
  const std::size_t size = socket_.read_some(asio::buffer(chunk), failure);
  if (failure == asio::error::would_block || failure == asio::error::interrupted) return "";
  if (failure) return std::nullopt;
  return std::string(chunk.data(), size);
}

void Console::remember(const std::string& bytes) {
  recent_ += bytes;
  total_ += bytes.size();
  if (recent_.size() > recent_bytes) recent_.erase(0, recent_.size() - recent_bytes);
  changed_.cancel();
}

Task<> Console::log(std::string bytes) {
  auto append = [this, &bytes] { append_to_log(log_path_, bytes, log_limit); };
  auto writing = offload(worker_, std::move(append));
  const auto written = co_await detail::outcome_of(std::move(writing));
  // The guest goes on without its log.
  if (written.error && !log_failed_)
    log::warn("console of {}: {}", domain_name_, describe(written.error));
  log_failed_ = written.error != nullptr;
}

Task<> Console::create_log() {
  auto create = [this] { domain::create_log(log_path_); };
  auto creating = offload(worker_, std::move(create));
  const auto created = co_await detail::outcome_of(std::move(creating));
  if (created.error) log::warn("console of {}: {}", domain_name_, describe(created.error));
}

Task<> Console::pause(milliseconds duration) {
  boost::system::error_code woken;
  pause_.expires_after(duration);
  co_await pause_.async_wait(asio::redirect_error(asio::use_awaitable, woken));
}

Task<> Console::changed() {
  boost::system::error_code woken;
  co_await changed_.async_wait(asio::redirect_error(asio::use_awaitable, woken));
}

Console::Position Console::recent(std::size_t bytes) const {
  return total_ - std::min(bytes, recent_.size());
}

Task<std::string> Console::read(Position& position) {
  while (position == total_ && !ended_) co_await changed();
  const Position oldest = total_ - recent_.size();
  std::string bytes;
  if (position < oldest) {
    bytes = fmt::format("\r\n[... {} bytes missed ...]\r\n", oldest - position);
    position = oldest;
  }
  bytes += recent_.substr(recent_.size() - (total_ - position));
  position = total_;
  co_return bytes;
}

std::shared_ptr<Console::Writer> Console::take_writer(std::shared_ptr<Console> console) {
  if (console->has_writer_)
    throw Error(Errc::busy, "another client writes to the console of {}: read along (--read-only)",
                console->domain_name_);
  return std::make_shared<Writer>(std::move(console));
}

Console::Writer::Writer(std::shared_ptr<Console> console) : console_(std::move(console)) {
  console_->has_writer_ = true;
}

Console::Writer::~Writer() { console_->has_writer_ = false; }

Task<> Console::Writer::write(std::string bytes) {
  while (!console_->connected_ && !console_->ended_) co_await console_->changed();
  boost::system::error_code broken;
  co_await asio::async_write(console_->socket_, asio::buffer(bytes),
                             asio::redirect_error(asio::use_awaitable, broken));
}

}  // namespace wso::domain
