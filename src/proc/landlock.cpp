#include "landlock.hpp"

#include <fcntl.h>
#include <linux/landlock.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <wso/base/error.hpp>

namespace wso::proc {
namespace {

// Of version 3, which the headers of Debian 12 do not know.
constexpr std::uint64_t truncate = 1ULL << 14;

constexpr std::uint64_t read_file = LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_EXECUTE;
constexpr std::uint64_t read_directory = read_file | LANDLOCK_ACCESS_FS_READ_DIR;
constexpr std::uint64_t read_and_write =
    LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_WRITE_FILE;

// All that is forbidden unless a rule allows it.
std::uint64_t handled_access(long version) {
  constexpr std::uint64_t of_version_1 = LANDLOCK_ACCESS_FS_REFER - 1;
  return of_version_1 | (version >= 2 ? LANDLOCK_ACCESS_FS_REFER : 0) |
         (version >= 3 ? truncate : 0);
}

void allow(const UniqueFd& ruleset, int fd, std::uint64_t access, const std::string& what) {
  landlock_path_beneath_attr rule{};
  rule.allowed_access = access;
  rule.parent_fd = fd;
  if (::syscall(SYS_landlock_add_rule, ruleset.get(), LANDLOCK_RULE_PATH_BENEATH, &rule, 0) != 0)
    throw_errno("allow access to " + what);
}

// What is not there needs no rule.
UniqueFd open_path(const std::string& path) {
  UniqueFd fd(::open(path.c_str(), O_PATH | O_CLOEXEC));
  if (!fd && errno != ENOENT) throw_errno("open " + path);
  return fd;
}

mode_t kind_of(int fd) {
  struct stat status {};
  return ::fstat(fd, &status) == 0 ? status.st_mode & S_IFMT : 0;
}

bool is_writable(int fd) { return (::fcntl(fd, F_GETFL) & O_ACCMODE) != O_RDONLY; }

}  // namespace

UniqueFd make_landlock_ruleset(const std::vector<std::string>& readable,
                               const std::vector<std::string>& devices,
                               const std::vector<int>& inherited_fds) {
  const long version =
      ::syscall(SYS_landlock_create_ruleset, nullptr, 0, LANDLOCK_CREATE_RULESET_VERSION);
  if (version < 1) return {};
  landlock_ruleset_attr attributes{};
  attributes.handled_access_fs = handled_access(version);
  UniqueFd ruleset(
      static_cast<int>(::syscall(SYS_landlock_create_ruleset, &attributes, sizeof attributes, 0)));
  if (!ruleset) throw_errno("make a Landlock ruleset");
  for (const auto& path : readable)
    if (const UniqueFd fd = open_path(path))
      allow(ruleset, fd.get(), kind_of(fd.get()) == S_IFDIR ? read_directory : read_file, path);
  for (const auto& path : devices)
    if (const UniqueFd fd = open_path(path)) allow(ruleset, fd.get(), read_and_write, path);
  // It may have them opened anew, under their names in /proc/self/fd.
  for (const int fd : inherited_fds)
    if (kind_of(fd) == S_IFREG)
      allow(ruleset, fd, is_writable(fd) ? read_and_write : LANDLOCK_ACCESS_FS_READ_FILE,
            fmt::format("file {}", fd));
  return ruleset;
}

long restrict_by_landlock(const UniqueFd& ruleset) {
  return ruleset ? ::syscall(SYS_landlock_restrict_self, ruleset.get(), 0) : 0;
}

}  // namespace wso::proc
