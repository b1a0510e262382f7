// A directory of one test's own, removed with all that is in it.
#pragma once

#include <filesystem>
#include <fstream>
#include <iterator>
#include <stdexcept>
#include <string>

#include <stdlib.h>
#include <sys/stat.h>

#include <wso/base/error.hpp>

namespace wso::test {

class Scratch {
 public:
  Scratch() {
    std::string name = std::filesystem::temp_directory_path() / "wso-test-XXXXXX";
    if (::mkdtemp(name.data()) == nullptr) throw std::runtime_error("mkdtemp failed");
    root_ = name;
  }
  Scratch(const Scratch&) = delete;
  Scratch& operator=(const Scratch&) = delete;
  ~Scratch() {
    std::error_code ignored;
    std::filesystem::remove_all(root_, ignored);
  }

  std::filesystem::path operator/(const std::string& name) const { return root_ / name; }
  [[nodiscard]] const std::filesystem::path& root() const { return root_; }

  // A file that somebody else put there.
  std::filesystem::path put(const std::string& name, const std::string& contents) const {
    std::ofstream(root_ / name) << contents;
    return root_ / name;
  }

 private:
  std::filesystem::path root_;
};

inline std::string contents_of(const std::filesystem::path& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>()};
}

inline mode_t mode_of(const std::filesystem::path& path) {
  struct stat status {};
  return ::lstat(path.c_str(), &status) == 0 ? status.st_mode & 07777U : 0;
}

// Runs the function with another umask.
template <typename F>
auto with_umask(mode_t mask, F function) {
  struct Restore {
    mode_t mask;
    ~Restore() { ::umask(mask); }
  } restore{::umask(mask)};
  return function();
}

// The Error that the function must throw.
template <typename F>
Error failure_of_call(F function) {
  try {
    function();
  } catch (const Error& error) {
    return error;
  }
  throw std::logic_error("a failure was expected");
}

}  // namespace wso::test
