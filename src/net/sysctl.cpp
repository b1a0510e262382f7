#include <fcntl.h>

#include <wso/base/error.hpp>
#include <wso/base/file.hpp>
#include <wso/base/unique_fd.hpp>
#include <wso/net/sysctl.hpp>

namespace wso::net {
namespace {

// A bridge's name is part of a key and may hold dots, so that "virbr..": only a whole component
// that is "." or ".." leads elsewhere.
std::string path_of(std::string_view key) {
  for (std::string_view rest = key; !rest.empty();) {
    const std::string_view component = rest.substr(0, rest.find('/'));
    const bool last = component.size() == rest.size();
    rest.remove_prefix(last ? rest.size() : component.size() + 1);
    const bool empty_after = !last && rest.empty();
    if (component.empty() || empty_after || component == "." || component == ".." ||
        component.find('\0') != std::string_view::npos)
      throw Error(Errc::invalid_argument, "\"{}\" is not the name of a network setting", key);
  }
  if (key.empty()) throw Error(Errc::invalid_argument, "the name of a network setting is empty");
  return fmt::format("/proc/sys/net/{}", key);
}

}  // namespace

std::string sysctl(std::string_view key) {
  constexpr std::size_t limit = 4096;  // the kernel gives no more than a page
  auto text = read_file(path_of(key), limit);
  if (!text) throw Error(Errc::not_found, "this kernel has no network setting {}", key);
  if (text->ends_with('\n')) text->pop_back();
  return *text;
}

bool set_sysctl(std::string_view key, std::string_view value) {
  if (sysctl(key) == value) return false;
  const std::string path = path_of(key);
  const UniqueFd fd(::open(path.c_str(), O_WRONLY | O_CLOEXEC));
  if (!fd) throw_errno(fmt::format("open {}", path));
  write_all(fd.get(), value, path);
  return true;
}

}  // namespace wso::net
