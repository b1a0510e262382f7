#include "session.hpp"

#include <boost/asio/redirect_error.hpp>
#include <boost/asio/write.hpp>

#include <wso/base/log.hpp>

namespace wso::wsod {
namespace {

// A client that asks without reading the answers is cut off here.
constexpr std::size_t unread_limit = 16 * 1024 * 1024;

}  // namespace

Session::Session(ClientSocket connected, TaskGroup& writers)
    : socket_(std::move(connected)),
      writers_(writers),
      flushed_(socket_.get_executor(), Clock::time_point::max()) {}

void Session::send(std::string line) {
  unsent_bytes_ += line.size();
  unsent_.push_back(std::move(line));
  if (unsent_bytes_ > unread_limit) {
    log::warn("a client does not read its answers, and is cut off");
    close();
  } else if (!writing_) {
    writing_ = true;
    writers_.spawn("write to a client", write(shared_from_this()));
  }
}

Task<> Session::flushed() {
  while (writing_) {
    boost::system::error_code woken;
    co_await flushed_.async_wait(asio::redirect_error(asio::use_awaitable, woken));
  }
}

void Session::close() {
  boost::system::error_code ignored;
  socket_.close(ignored);
  unsent_.clear();
  unsent_bytes_ = 0;
}

Task<> Session::write(std::shared_ptr<Session> self) {
  while (!self->unsent_.empty()) {
    const std::string line = std::move(self->unsent_.front());
    self->unsent_.pop_front();
    self->unsent_bytes_ -= line.size();
    auto sending = asio::async_write(self->socket_, asio::buffer(line), asio::use_awaitable);
    const auto sent = co_await detail::outcome_of(std::move(sending));
    if (sent.error) self->close();
  }
  self->writing_ = false;
  self->flushed_.cancel();
}

Task<> hang_up(ClientSocket& socket) {
  // EPOLLHUP, of which an unread input is no obstacle.
  boost::system::error_code closed;
  co_await socket.async_wait(ClientSocket::wait_error,
                             asio::redirect_error(asio::use_awaitable, closed));
}

}  // namespace wso::wsod
