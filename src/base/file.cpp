#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <wso/base/error.hpp>
#include <wso/base/file.hpp>

namespace wso {

namespace fs = std::filesystem;

namespace {

UniqueFd open_directory(const fs::path& path) {
  const fs::path& directory = path.empty() ? fs::path(".") : path;
  UniqueFd fd(::open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!fd) throw_errno(fmt::format("open directory {}", directory.native()));
  return fd;
}

void sync(int fd, const fs::path& path) {
  if (::fsync(fd) != 0) throw_errno(fmt::format("write {} to disk", path.native()));
}

// False if one of them is not there or no file, or if the file system cannot do it.
bool exchange_files(const fs::path& a, const fs::path& b) {
  struct stat status {};
  if (::lstat(b.c_str(), &status) != 0 || S_ISDIR(status.st_mode)) return false;
  return ::renameat2(AT_FDCWD, a.c_str(), AT_FDCWD, b.c_str(), RENAME_EXCHANGE) == 0;
}

[[noreturn]] void throw_exists(const fs::path& path) {
  throw Error(Errc::already_exists,
              "{} is there already, and is not overwritten: move it away or choose another name",
              path.native());
}

}  // namespace

FileIdentity identity_of(int fd) {
  struct stat status {};
  if (::fstat(fd, &status) != 0) throw_errno("fstat");
  return {status.st_dev, status.st_ino};
}

UniqueFd create_new_file(const fs::path& path, mode_t mode) {
  UniqueFd fd(::open(path.c_str(), O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, mode));
  if (!fd && errno == EEXIST) throw_exists(path);
  if (!fd) throw_errno(fmt::format("create {}", path.native()));
  // The umask must not decide about what others may read.
  if (::fchmod(fd.get(), mode) != 0) {
    const int error_number = errno;
    ::unlink(path.c_str());
    throw_errno(fmt::format("set the mode of {}", path.native()), error_number);
  }
  return fd;
}

UniqueFd create_unnamed_file(const fs::path& directory, mode_t mode) {
  UniqueFd fd(::open(directory.c_str(), O_TMPFILE | O_RDWR | O_CLOEXEC, mode));
  if (!fd && errno == EOPNOTSUPP)
    throw Error(Errc::io, "the file system of {} has no O_TMPFILE: choose another disk_dir",
                directory.native());
  if (!fd) throw_errno(fmt::format("create a file in {}", directory.native()));
  if (::fchmod(fd.get(), mode) != 0)
    throw_errno(fmt::format("set the mode of a file in {}", directory.native()));
  return fd;
}

void link_file(int fd, const fs::path& path) {
  const std::string source = fmt::format("/proc/self/fd/{}", fd);
  if (::linkat(AT_FDCWD, source.c_str(), AT_FDCWD, path.c_str(), AT_SYMLINK_FOLLOW) == 0) return;
  if (errno == EEXIST) throw_exists(path);
  throw_errno(fmt::format("create {}", path.native()));
}

void write_all(int fd, std::string_view contents, const fs::path& path) {
  while (!contents.empty()) {
    const ssize_t written = ::write(fd, contents.data(), contents.size());
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) throw_errno(fmt::format("write {}", path.native()));
    contents.remove_prefix(static_cast<std::size_t>(written));
  }
}

UniqueFd open_regular_file(const fs::path& path, int flags) {
  // O_NONBLOCK: a FIFO must not hold up the daemon before we can see what it is.
  UniqueFd fd(::open(path.c_str(), flags | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC));
  if (!fd && errno == ELOOP)
    throw Error(Errc::invalid_argument, "{} is a symbolic link: name the file itself",
                path.native());
  if (!fd) throw_errno(fmt::format("open {}", path.native()));
  struct stat status {};
  if (::fstat(fd.get(), &status) != 0) throw_errno(fmt::format("stat {}", path.native()));
  if (!S_ISREG(status.st_mode))
    throw Error(Errc::invalid_argument, "{} is not a regular file", path.native());
  return fd;
}

UniqueFd open_same_file(const fs::path& path, int flags, const FileIdentity& identity) {
  UniqueFd fd = open_regular_file(path, flags);
  struct stat status {};
  if (::fstat(fd.get(), &status) != 0) throw_errno(fmt::format("stat {}", path.native()));
  if (identity_of(fd.get()) != identity || status.st_uid != ::geteuid())
    throw Error(Errc::permission,
                "{} is not the file that was made for this domain: move it away, or put the "
                "domain's own file back",
                path.native());
  return fd;
}

std::optional<std::string> read_file(const fs::path& path, std::size_t limit) {
  // O_NONBLOCK: a FIFO in the file's place reads as empty, and holds nobody up.
  UniqueFd fd(::open(path.c_str(), O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC));
  if (!fd && errno == ENOENT) return std::nullopt;
  if (!fd) throw_errno(fmt::format("open {}", path.native()));
  std::string contents(limit + 1, '\0');
  std::size_t size = 0;
  while (size <= limit) {
    const ssize_t got = ::read(fd.get(), contents.data() + size, contents.size() - size);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) throw_errno(fmt::format("read {}", path.native()));
    if (got == 0) break;
    size += static_cast<std::size_t>(got);
  }
  if (size > limit)
    throw Error(Errc::io, "{} is larger than the {} bytes that it may have", path.native(), limit);
  contents.resize(size);
  return contents;
}

void replace_file(const fs::path& path, std::string_view contents, mode_t mode) {
  const UniqueFd directory = open_directory(path.parent_path());
  const fs::path temporary = path.native() + ".new";
  // One that is there was left by a crash in the middle of this very function.
  ::unlink(temporary.c_str());
  const UniqueFd fd = create_new_file(temporary, mode);
  NewFileGuard guard(temporary);
  write_all(fd.get(), contents, temporary);
  sync(fd.get(), temporary);
  const bool any_before = ::access(path.c_str(), F_OK) == 0;
  const bool exchanged = exchange_files(temporary, path);
  if (!exchanged && ::rename(temporary.c_str(), path.c_str()) != 0)
    throw_errno(fmt::format("rename {} to {}", temporary.native(), path.native()));
  try {
    sync(directory.get(), path.parent_path());
  } catch (const Error&) {
    // Nobody must find what they have been told was not written.
    if (exchanged)
      exchange_files(temporary, path);
    else if (!any_before)
      ::unlink(path.c_str());
    throw;
  }
}

bool remove_file_durably(const fs::path& path) {
  const UniqueFd directory = open_directory(path.parent_path());
  if (::unlink(path.c_str()) != 0) {
    if (errno == ENOENT) return false;
    throw_errno(fmt::format("remove {}", path.native()));
  }
  sync(directory.get(), path.parent_path());
  return true;
}

Removal remove_if_same(const fs::path& path, const FileIdentity& identity) {
  struct stat status {};
  if (::lstat(path.c_str(), &status) != 0) {
    if (errno == ENOENT) return Removal::absent;
    throw_errno(fmt::format("stat {}", path.native()));
  }
  const FileIdentity found{status.st_dev, status.st_ino};
  if (found != identity) return Removal::foreign;
  return remove_file_durably(path) ? Removal::removed : Removal::absent;
}

void make_directories(const fs::path& path, mode_t mode) {
  if (path.has_relative_path() && path.has_parent_path())
    make_directories(path.parent_path(), 0755);
  if (path.empty() || ::mkdir(path.c_str(), mode) == 0) return;
  const int error_number = errno;
  std::error_code ec;
  if (error_number == EEXIST && fs::is_directory(path, ec)) return;
  throw_errno(fmt::format("make directory {}", path.native()), error_number);
}

NewFileGuard::~NewFileGuard() {
  if (!path_.empty()) ::unlink(path_.c_str());
}

}  // namespace wso
