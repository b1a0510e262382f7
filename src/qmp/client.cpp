// One reader task and one chain of writes per connection. The reader is the only one that decides
// how a connection ends, so that what QEMU said before it went still reaches its waiter.
#include <array>
#include <deque>
#include <optional>
#include <utility>

#include <boost/asio/buffer.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/write.hpp>

#include <wso/base/log.hpp>
#include <wso/base/unix_socket.hpp>
#include <wso/qmp/client.hpp>
#include <wso/qmp/pending.hpp>

namespace wso::qmp {

using Socket = asio::local::stream_protocol::socket;

namespace {

// A read gives way to the rest of the loop after at most this much, whatever QEMU floods us with.
constexpr std::size_t chunk_size = 16 * 1024;

// A QEMU with so many requests unanswered hangs: more would only pile up.
constexpr std::size_t unanswered_limit = 256;

}  // namespace

struct Client::State : std::enable_shared_from_this<State> {
  State(std::string name, Socket connected)
      : what(std::move(name)), socket(std::move(connected)), over(socket.get_executor()) {}

  void send(std::string line);
  void write_front();
  Task<Message> next_message();
  Task<> read_messages();
  void receive(Message message);
  void deliver(const Event& event);
  void end(Error reason);
  void reader_ended(const std::exception_ptr& error);

  std::string what;
  Socket socket;
  LineDecoder lines;
  bool greeted = false;
  std::array<char, chunk_size> chunk{};
  PendingTable pending;
  std::deque<std::string> unsent;  // the first is being written
  EventHandler event_handler;
  std::optional<Error> ended;  // why, once the connection is over
  Signal over;
};

void Client::State::send(std::string line) {
  unsent.push_back(std::move(line));
  if (unsent.size() == 1) write_front();
}

void Client::State::write_front() {
  asio::async_write(socket, asio::buffer(unsent.front()),
                    [self = shared_from_this()](boost::system::error_code failure, std::size_t) {
                      if (failure) {
                        // Lets the reader take what is still there, and then see the end.
                        self->socket.shutdown(Socket::shutdown_both, failure);
                        return;
                      }
                      self->unsent.pop_front();
                      if (!self->unsent.empty()) self->write_front();
                    });
}

Task<Message> Client::State::next_message() {
  for (;;) {
    if (const auto line = lines.next()) co_return parse_message(*line);
    const auto size = co_await socket.async_read_some(asio::buffer(chunk), asio::use_awaitable);
    lines.append({chunk.data(), size});
  }
}

Task<> Client::State::read_messages() {
  for (;;) {
    auto message = co_await next_message();
    receive(std::move(message));
  }
}

void Client::State::receive(Message message) {
  const auto* greeting = std::get_if<Greeting>(&message);
  if (greeted == (greeting != nullptr))
    throw Error(Errc::protocol, "{}", greeted ? "a second greeting" : "no greeting");
  if (greeting != nullptr) {
    greeted = true;
    log::debug("{}: QEMU {}", what, greeting->version);
  } else if (auto* reply = std::get_if<Reply>(&message)) {
    pending.complete(reply->id, std::move(reply->result));
  } else if (auto* refusal = std::get_if<Refusal>(&message)) {
    // QEMU leaves the id out only of requests that are not JSON, and we send none of these.
    if (!refusal->id)
      throw Error(Errc::protocol, "a refusal without an id: {}", excerpt(refusal->description));
    pending.complete(*refusal->id, std::move(*refusal));
  } else if (const auto* event = std::get_if<Event>(&message)) {
    deliver(*event);
  }
}

void Client::State::deliver(const Event& event) {
  // A copy, as the handler may replace itself or close the client.
  const EventHandler handler = event_handler;
  if (!handler) return;
  try {
    handler(event);
  } catch (...) {
    log::error("{}: event {}: {}", what, excerpt(event.name), describe(std::current_exception()));
  }
}

void Client::State::end(Error reason) {
  if (ended) return;
  ended = std::move(reason);
  event_handler = nullptr;
  boost::system::error_code ignored;  // the descriptor is gone whatever close() says
  socket.close(ignored);
  pending.fail_all(*ended);
  over.notify();
}

void Client::State::reader_ended(const std::exception_ptr& error) {
  const Error failure = as_error(error);
  const bool garbage = failure.code() == Errc::protocol;
  end(Error(garbage ? Errc::protocol : Errc::disconnected, "{}: {}: {}", what,
            garbage ? "QEMU broke the protocol" : "the connection ended", failure.what()));
}

namespace {

using StatePtr = std::shared_ptr<Client::State>;

// The frame of exchange() while it waits. Its end, by whatever path, gives the request up.
class Waiter {
 public:
  Waiter(StatePtr state, const asio::any_io_executor& executor)
      : state_(std::move(state)), wake_(executor, Clock::time_point::max()) {
    id_ = state_->pending.add([this](Answer answer) {
      answer_ = std::move(answer);
      wake_.cancel();
    });
  }
  Waiter(const Waiter&) = delete;
  Waiter& operator=(const Waiter&) = delete;
  ~Waiter() { state_->pending.abandon(id_); }

  [[nodiscard]] std::uint64_t id() const { return id_; }

  Task<Answer> wait() {
    boost::system::error_code woken;
    if (!answer_) co_await wake_.async_wait(asio::redirect_error(asio::use_awaitable, woken));
    if (!answer_) throw boost::system::system_error(woken);  // cancelled
    co_return std::move(*answer_);
  }

 private:
  StatePtr state_;
  asio::steady_timer wake_;
  std::uint64_t id_ = 0;
  std::optional<Answer> answer_;
};

Task<Json> exchange(StatePtr state, std::string command, Json arguments) {
  if (state->ended) throw Error(*state->ended);
  if (state->pending.size() >= unanswered_limit)
    throw Error(Errc::busy, "{}: {} requests are unanswered: QEMU hangs, stop it by force",
                state->what, state->pending.size());
  Waiter waiter(state, co_await asio::this_coro::executor);
  state->send(format_command(command, arguments, waiter.id()));
  auto answer = co_await waiter.wait();
  if (const auto* error = std::get_if<Error>(&answer)) throw Error(*error);
  if (const auto* refusal = std::get_if<Refusal>(&answer))
    throw Error(Errc::process, "{}: {} refused: {} ({})", state->what, command,
                excerpt(refusal->description), excerpt(refusal->error_class));
  co_return std::get<Json>(std::move(answer));
}

}  // namespace

Task<std::shared_ptr<Client>> Client::connect(std::string what, std::string socket_path,
                                              milliseconds limit) {
  check_socket_path(socket_path);
  const asio::local::stream_protocol::endpoint endpoint(socket_path);
  Socket socket(co_await asio::this_coro::executor);
  boost::system::error_code failure;
  co_await socket.async_connect(endpoint, asio::redirect_error(asio::use_awaitable, failure));
  // Asio takes a full queue of a UNIX socket for success, which only this tells apart.
  if (!failure) socket.remote_endpoint(failure);
  if (failure == asio::error::not_connected)
    throw Error(Errc::busy, "{}: others wait for socket {} already, which serves one client", what,
                socket_path);
  if (failure)
    throw Error(Errc::disconnected, "{}: connect to socket {}: {}", what, socket_path,
                failure.message());
  co_return co_await negotiate(std::move(what), std::move(socket), limit);
}

Task<std::shared_ptr<Client>> Client::negotiate(std::string what, Socket socket,
                                                milliseconds limit) {
  auto handshake = fmt::format(
      "{}: greeting (another client may hold the monitor, which serves one at a time)", what);
  auto state = std::make_shared<State>(std::move(what), std::move(socket));
  // Owns the connection from here on: it ends with this frame if the handshake fails.
  auto client = std::make_shared<Client>(state);
  asio::co_spawn(state->socket.get_executor(), state->read_messages(),
                 [state](const std::exception_ptr& error) { state->reader_ended(error); });
  // QEMU reads nothing before it has sent its greeting, so there is no need to wait for that.
  auto capabilities = exchange(state, "qmp_capabilities", Json());
  co_await with_deadline(std::move(handshake), limit, std::move(capabilities));
  co_return client;
}

Client::Client(std::shared_ptr<State> state) : state_(std::move(state)) {}

Client::~Client() { close(); }

Task<Json> Client::execute(std::string command, Json arguments, milliseconds limit) {
  // Not a coroutine: the request must not depend on the life of *this.
  auto what = fmt::format("{}: {}", state_->what, command);
  return with_deadline(std::move(what), limit,
                       exchange(state_, std::move(command), std::move(arguments)));
}

Task<Json> Client::query(std::string command) {
  return execute(std::move(command), Json::object(), query_limit);
}

void Client::on_event(EventHandler handler) {
  if (connected()) state_->event_handler = std::move(handler);
}

namespace {

Task<std::string> wait_for_end(StatePtr state) {
  if (!state->ended) co_await state->over.wait();
  co_return state->ended->what();
}

}  // namespace

Task<std::string> Client::closed() { return wait_for_end(state_); }

bool Client::connected() const { return !state_->ended; }

void Client::close() {
  state_->end(Error(Errc::disconnected, "{}: the connection was closed", state_->what));
}

}  // namespace wso::qmp
