// The serial console of one running domain. QEMU serves one client at a time, which is this one: it
// reads what the guest prints into a log file and a memory of the last bytes, from which any number
// of readers follow, and carries the input of one writer at a time to the guest.
//
// A guest that prints without end is slowed down by QEMU's own flow control: between two reads
// there is a pause, so it costs a bounded number of wake-ups, and of bytes written, a second. While
// a guest prints nothing, nothing runs.
#pragma once

#include <filesystem>
#include <memory>
#include <optional>
#include <string>

#include <boost/asio/local/stream_protocol.hpp>

#include <wso/base/task.hpp>
#include <wso/base/unique_fd.hpp>

namespace wso::domain {

class Console {
 public:
  using Socket = asio::local::stream_protocol::socket;

  static constexpr std::size_t recent_bytes = 64 * 1024;

  // Reads, in a task of the group, from `connection`, which may be empty; then, and whenever the
  // connection breaks, connects until close(). `worker` writes the log; it and the group must
  // outlive the task.
  static std::shared_ptr<Console> open(TaskGroup& tasks, asio::thread_pool& worker,
                                       std::string domain_name, std::filesystem::path socket_path,
                                       std::filesystem::path log_path, UniqueFd connection);

  // Use open(). It is a shared_ptr's, and its task's.
  Console(asio::any_io_executor executor, asio::thread_pool& worker, std::string domain_name,
          std::filesystem::path socket_path, std::filesystem::path log_path, UniqueFd connection);
  Console(const Console&) = delete;
  Console& operator=(const Console&) = delete;
  ~Console() = default;

  // To be called when QEMU has gone: what it has sent is still taken, then all readers end.
  void close();

  // Where a reader stands: a number of bytes since the start.
  using Position = std::uint64_t;

  // A place at most so many bytes before the newest.
  [[nodiscard]] Position recent(std::size_t bytes) const;
  // Waits for output beyond the position, and moves it. One that has fallen behind what is
  // remembered is told so by a line. Empty at the end of the console.
  Task<std::string> read(Position& position);

  // The right to write, for as long as it is held.
  class Writer {
   public:
    explicit Writer(std::shared_ptr<Console> console);
    Writer(const Writer&) = delete;
    Writer& operator=(const Writer&) = delete;
    ~Writer();

    // Waits until the guest's serial port takes it, which a guest that hangs never does. What is
    // under way while the connection breaks is lost.
    Task<> write(std::string bytes);

   private:
    std::shared_ptr<Console> console_;
  };

  // Throws Errc::busy if another has it.
  static std::shared_ptr<Writer> take_writer(std::shared_ptr<Console> console);

 private:
  static Task<> run(std::shared_ptr<Console> self);
  Task<> stay_connected();
  Task<bool> connect();
  Task<bool> drain();
  std::optional<std::string> receive();
  void remember(const std::string& bytes);
  Task<> log(std::string bytes);
  Task<> create_log();
  Task<> pause(milliseconds duration);
  Task<> changed();

  asio::thread_pool& worker_;
  std::string domain_name_;
  std::filesystem::path socket_path_;
  std::filesystem::path log_path_;
  Socket socket_;
  asio::steady_timer pause_;
  asio::steady_timer changed_;  // cancelled to wake those who wait
  bool connected_ = false;
  bool closed_ = false;      // close() was called
  bool ended_ = false;       // nothing more will come
  bool log_failed_ = false;  // said once, until it works again
  bool has_writer_ = false;
  std::string recent_;
  Position total_ = 0;  // bytes since the start; recent_ is the end of them
};

}  // namespace wso::domain
