// Files as a root daemon must handle them: never through a symlink, never half written.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>

#include <sys/types.h>

#include <wso/base/unique_fd.hpp>

namespace wso {

// Which file a path named when we made it: if these differ later, it is somebody else's.
struct FileIdentity {
  std::uint64_t device = 0;
  std::uint64_t inode = 0;
  bool operator==(const FileIdentity&) const = default;
};

FileIdentity identity_of(int fd);

// Makes a new file that only its owner reads and writes unless `mode` says otherwise. Whatever is
// at the path already, a dangling symlink too, is Errc::already_exists and is left alone.
UniqueFd create_new_file(const std::filesystem::path& path, mode_t mode);

// Makes a file in the directory that has no name yet (O_TMPFILE): when its descriptor is closed
// before link_file(), by a crash too, nothing of it is left.
UniqueFd create_unnamed_file(const std::filesystem::path& directory, mode_t mode);

// Gives such a file its name. Like create_new_file() it never overwrites and follows no symlink.
void link_file(int fd, const std::filesystem::path& path);

// Writes all of it to a file just made.
void write_all(int fd, std::string_view contents, const std::filesystem::path& path);

// Opens a regular file; a symlink in the last place, a device, a FIFO or a directory is an error.
// `flags` is O_RDONLY or O_RDWR.
UniqueFd open_regular_file(const std::filesystem::path& path, int flags);

// The same for a file that was made before: only if it is still that very one, and owned by us.
UniqueFd open_same_file(const std::filesystem::path& path, int flags, const FileIdentity& identity);

// All of a file, at most `limit` bytes; a larger one is an error. nullopt if there is none.
std::optional<std::string> read_file(const std::filesystem::path& path, std::size_t limit);

// Replaces the file so that a crash at any instant leaves the old contents or the new, on disk:
// temporary file, fsync, rename, fsync of the directory. A failure leaves the old.
void replace_file(const std::filesystem::path& path, std::string_view contents, mode_t mode);

// Removes it and makes the removal last. False if there was none.
bool remove_file_durably(const std::filesystem::path& path);

enum class Removal { removed, absent, foreign };

// Removes the file at the path if it is still the one with this identity. Another file that has
// taken its place is foreign, and is left alone.
Removal remove_if_same(const std::filesystem::path& path, const FileIdentity& identity);

// Makes the directory and those above it. An existing one must be a directory.
void make_directories(const std::filesystem::path& path, mode_t mode);

// Removes what stands between a fresh file and success: deletes it unless keep() was called.
class NewFileGuard {
 public:
  explicit NewFileGuard(std::filesystem::path path) : path_(std::move(path)) {}
  NewFileGuard(const NewFileGuard&) = delete;
  NewFileGuard& operator=(const NewFileGuard&) = delete;
  ~NewFileGuard();
  void keep() { path_.clear(); }

 private:
  std::filesystem::path path_;
};

}  // namespace wso
