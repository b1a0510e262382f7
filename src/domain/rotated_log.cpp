#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <wso/base/error.hpp>
#include <wso/base/file.hpp>
#include <wso/domain/plan.hpp>
#include <wso/domain/rotated_log.hpp>

namespace wso::domain {
namespace {

namespace fs = std::filesystem;

constexpr mode_t log_mode = 0600;

UniqueFd open_log(const fs::path& path) {
  UniqueFd log(::open(path.c_str(), O_WRONLY | O_APPEND | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC));
  if (!log && errno != ENOENT) throw_errno(fmt::format("open {}", path.native()));
  return log;
}

std::size_t size_of(const UniqueFd& log, const fs::path& path) {
  struct stat status {};
  if (::fstat(log.get(), &status) != 0) throw_errno(fmt::format("stat {}", path.native()));
  return static_cast<std::size_t>(status.st_size);
}

// In a directory that only root writes.
void unlink_own(const fs::path& path) {
  if (::unlink(path.c_str()) != 0 && errno != ENOENT)
    throw_errno(fmt::format("remove {}", path.native()));
}

}  // namespace

void create_log(const fs::path& path) {
  if (!open_log(path)) create_new_file(path, log_mode);
}

bool append_to_log(const fs::path& path, std::string_view bytes, std::size_t limit) {
  UniqueFd log = open_log(path);
  if (!log) return false;
  if (const std::size_t size = size_of(log, path); size > 0 && size + bytes.size() > limit) {
    put_log_aside(path);
    log = create_new_file(path, log_mode);
  }
  write_all(log.get(), bytes, path);
  return true;
}

void put_log_aside(const fs::path& path) {
  if (::rename(path.c_str(), previous_log(path).c_str()) != 0 && errno != ENOENT)
    throw_errno(fmt::format("rename {}", path.native()));
}

void remove_log(const fs::path& path) {
  unlink_own(path);
  unlink_own(previous_log(path));
}

}  // namespace wso::domain
