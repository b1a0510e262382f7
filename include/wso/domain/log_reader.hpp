// Reads a log that rotates (domain/rotated_log.hpp), the previous one first, and waits for more of
// it. It never holds more than a piece, and a slow reader holds up nobody.
#pragma once

#include <filesystem>
#include <optional>
#include <string>

#include <boost/asio/posix/stream_descriptor.hpp>

#include <wso/base/file.hpp>
#include <wso/base/task.hpp>

namespace wso::domain {

struct LogRange {
  std::optional<std::int64_t> tail;  // so many last lines; everything if absent
  bool follow = false;               // go on with what is written later
};

class LogReader {
 public:
  // Lines are looked for in so many last bytes of each of the two files.
  static constexpr std::int64_t tail_window = 1024 * 1024;

  // `worker` reads the files and must outlive this; so must this its own coroutines.
  LogReader(asio::any_io_executor executor, asio::thread_pool& worker, std::filesystem::path path,
            LogRange range);

  // Throws Errc::not_found if the log is to be followed and there is none.
  Task<> open();

  // The next piece, for which it waits if the log is followed. Empty at the end: of what was there
  // at open(), or when the log was removed.
  Task<std::string> next();

 private:
  // On the worker.
  void open_files();
  std::string read_piece();
  std::optional<std::string> advance();
  void take(UniqueFd file, std::int64_t offset);

  asio::thread_pool& worker_;
  std::filesystem::path path_;
  LogRange range_;
  UniqueFd file_;  // the one that is being read
  FileIdentity identity_;
  std::int64_t offset_ = 0;
  std::int64_t left_ = 0;  // of what was there at open()
  bool removed_ = false;
  asio::posix::stream_descriptor watch_;  // inotify, on the files that were read
  asio::steady_timer pause_;
};

}  // namespace wso::domain
