#include <algorithm>
#include <cstdio>

#include <fcntl.h>
#include <unistd.h>

#include <wso/base/error.hpp>
#include <wso/base/file.hpp>
#include <wso/store/record_store.hpp>

namespace wso::store {

namespace fs = std::filesystem;

namespace {

constexpr std::size_t record_limit = 1024 * 1024;
constexpr std::string_view suffix = ".json";
constexpr std::string_view unfinished_suffix = ".json.new";  // as replace_file() names it

// What a crash in the middle of a write leaves. Of a domain whose first record it would have been,
// no later write would find it.
void remove_unfinished(const fs::path& directory) {
  std::error_code ec;
  for (fs::directory_iterator entry(directory, ec), end; !ec && entry != end; entry.increment(ec))
    if (entry->path().native().ends_with(unfinished_suffix)) ::unlink(entry->path().c_str());
}

}  // namespace

LoadedRecords read_records(const fs::path& directory) {
  LoadedRecords loaded;
  std::error_code ec;
  for (fs::directory_iterator entry(directory, ec), end; !ec && entry != end; entry.increment(ec)) {
    const fs::path& path = entry->path();
    if (path.extension() != suffix) continue;
    try {
      const auto text = read_file(path, record_limit);
      if (text) loaded.records.push_back({path.stem(), parse_json(*text)});
    } catch (const Error& error) {
      loaded.damaged.push_back({path, error.what()});
    }
  }
  if (ec) throw_errno(fmt::format("read directory {}", directory.native()), ec.value());
  std::sort(loaded.records.begin(), loaded.records.end(),
            [](const auto& a, const auto& b) { return a.name < b.name; });
  return loaded;
}

fs::path record_path(const fs::path& directory, const std::string& name) {
  return directory / (name + std::string(suffix));
}

RecordStore::RecordStore(fs::path directory) : directory_(std::move(directory)) {
  make_directories(directory_, 0700);
  remove_unfinished(directory_);
}

void RecordStore::write(const std::string& name, const Json& contents) const {
  replace_file(record_path(directory_, name), dump_json(contents) + "\n", 0600);
}

bool RecordStore::erase(const std::string& name) const {
  return remove_file_durably(record_path(directory_, name));
}

fs::path RecordStore::set_aside(const std::string& name) const {
  const fs::path directory = directory_.parent_path() / "damaged";
  make_directories(directory, 0700);
  const fs::path path = record_path(directory_, name);
  for (int number = 1;; ++number) {
    fs::path target = directory / fmt::format("{}.{}{}", name, number, suffix);
    // Never over one that was set aside before.
    if (::renameat2(AT_FDCWD, path.c_str(), AT_FDCWD, target.c_str(), RENAME_NOREPLACE) == 0)
      return target;
    if (errno != EEXIST) throw_errno(fmt::format("move {} to {}", path.native(), target.native()));
  }
}

}  // namespace wso::store
