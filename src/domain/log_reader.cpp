#include <array>

#include <boost/asio/buffer.hpp>
#include <fcntl.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <unistd.h>

#include <wso/base/error.hpp>
#include <wso/domain/log_reader.hpp>
#include <wso/domain/plan.hpp>

namespace wso::domain {
namespace {

namespace fs = std::filesystem;

constexpr std::size_t piece_bytes = 64 * 1024;
// Who writes line by line does not wake a reader for each.
constexpr milliseconds wake_pause{10};

// Empty if there is none.
UniqueFd open_log(const fs::path& path) {
  UniqueFd file(::open(path.c_str(), O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC));
  if (!file && errno != ENOENT) throw_errno(fmt::format("open {}", path.native()));
  return file;
}

std::int64_t size_of(const UniqueFd& file) {
  struct stat status {};
  if (!file) return 0;
  if (::fstat(file.get(), &status) != 0) throw_errno("stat a log");
  return status.st_size;
}

std::string read_at(const UniqueFd& file, std::int64_t offset, std::size_t size) {
  std::string bytes(size, '\0');
  const ssize_t got = ::pread(file.get(), bytes.data(), bytes.size(), offset);
  if (got < 0) throw_errno("read a log");
  bytes.resize(static_cast<std::size_t>(got));
  return bytes;
}

bool ends_line(const UniqueFd& file) {
  const std::int64_t size = size_of(file);
  return size > 0 && read_at(file, size - 1, 1) == "\n";
}

// Where the last `lines` lines begin. `lines` is left at how many the file had too few.
std::int64_t find_lines(const UniqueFd& file, std::int64_t& lines) {
  const std::int64_t size = size_of(file);
  std::int64_t start = size;
  const std::int64_t first = std::max<std::int64_t>(0, size - LogReader::tail_window);
  while (lines > 0 && start > first) {
    const std::int64_t from = std::max(first, start - static_cast<std::int64_t>(piece_bytes));
    const std::string piece = read_at(file, from, static_cast<std::size_t>(start - from));
    for (std::size_t i = piece.size(); i > 0; --i)
      if (piece[i - 1] == '\n' && --lines == 0) return from + static_cast<std::int64_t>(i);
    start = from;
  }
  return start;
}

}  // namespace

LogReader::LogReader(asio::any_io_executor executor, asio::thread_pool& worker, fs::path path,
                     LogRange range)
    : worker_(worker), path_(std::move(path)), range_(range), watch_(executor), pause_(executor) {}

Task<> LogReader::open() {
  if (range_.follow) {
    const int watch = ::inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
    if (watch < 0) throw_errno("follow a log");
    watch_.assign(watch);
  }
  auto open_them = [this] { open_files(); };
  co_await offload(worker_, std::move(open_them));
}

void LogReader::open_files() {
  UniqueFd previous = open_log(previous_log(path_));
  UniqueFd current = open_log(path_);
  if (!current && range_.follow)
    throw Error(Errc::not_found, "there is no log {} yet", path_.native());
  std::int64_t previous_start = 0;
  std::int64_t current_start = 0;
  if (range_.tail) {
    // The end of the last line is not one in front of a line.
    std::int64_t lines =
        *range_.tail + (ends_line(size_of(current) > 0 ? current : previous) ? 1 : 0);
    current_start = find_lines(current, lines);
    previous_start = find_lines(previous, lines);
  }
  left_ = size_of(previous) - previous_start + size_of(current) - current_start;
  if (previous_start < size_of(previous))
    take(std::move(previous), previous_start);
  else
    take(std::move(current), current_start);
}

void LogReader::take(UniqueFd file, std::int64_t offset) {
  file_ = std::move(file);
  offset_ = offset;
  if (!file_) return;
  identity_ = identity_of(file_.get());
  if (!range_.follow) return;
  // By its descriptor, as the name is another file's after a rotation. An unlink changes
  // attributes.
  const std::string name = fmt::format("/proc/self/fd/{}", file_.get());
  constexpr std::uint32_t changes = IN_MODIFY | IN_ATTRIB | IN_MOVE_SELF;
  if (::inotify_add_watch(watch_.native_handle(), name.c_str(), changes) < 0)
    throw_errno(fmt::format("follow {}", path_.native()));
}

// Empty at the end for now.
std::string LogReader::read_piece() {
  while (file_) {
    std::size_t size = piece_bytes;
    if (!range_.follow) size = std::min(size, static_cast<std::size_t>(left_));
    std::string piece = read_at(file_, offset_, size);
    offset_ += static_cast<std::int64_t>(piece.size());
    left_ -= static_cast<std::int64_t>(piece.size());
    if (!piece.empty()) return piece;
    const auto note = advance();
    if (!note || !note->empty()) return note.value_or("");
  }
  return "";
}

// From the end of a file to the one that was written after it, with what is to be said of that;
// nullopt if there is none. Nothing rotates meanwhile, as that too is the worker's.
std::optional<std::string> LogReader::advance() {
  UniqueFd current = open_log(path_);
  removed_ = !current;
  if (!range_.follow && left_ <= 0) return std::nullopt;
  if (!current || identity_of(current.get()) == identity_) return std::nullopt;
  UniqueFd previous = open_log(previous_log(path_));
  if (!previous || identity_of(previous.get()) == identity_) {
    take(std::move(current), 0);
    return "";
  }
  take(std::move(previous), 0);
  return "\n[... some output missed ...]\n";
}

Task<std::string> LogReader::next() {
  std::array<char, 4096> changes{};
  while (true) {
    auto read = [this] { return read_piece(); };
    std::string piece = co_await offload(worker_, std::move(read));
    if (!piece.empty() || !range_.follow || removed_) co_return piece;
    co_await watch_.async_wait(asio::posix::stream_descriptor::wait_read, asio::use_awaitable);
    while (::read(watch_.native_handle(), changes.data(), changes.size()) > 0) {
    }
    pause_.expires_after(wake_pause);
    co_await pause_.async_wait(asio::use_awaitable);
  }
}

}  // namespace wso::domain
