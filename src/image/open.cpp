// Opens the images that users name, for QEMU to inherit. Refuses what is not what it should be.
#include <system_error>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <wso/base/error.hpp>
#include <wso/image/qcow2.hpp>

namespace wso::image {

namespace fs = std::filesystem;

namespace {

struct stat status_of(int fd, const fs::path& path) {
  struct stat status {};
  if (::fstat(fd, &status) != 0) throw_errno(fmt::format("stat {}", path.native()));
  return status;
}

}  // namespace

UniqueFd open_iso(const fs::path& path) {
  std::error_code error;
  const fs::path target = fs::canonical(path, error);
  if (error) throw_errno(fmt::format("open ISO {}", path.native()), error.value());
  UniqueFd fd = open_regular_file(target, O_RDONLY);
  if (status_of(fd.get(), target).st_size == 0)
    throw Error(Errc::invalid_argument, "ISO {} is empty: was its download cut short?",
                target.native());
  return fd;
}

}  // namespace wso::image
