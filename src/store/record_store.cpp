#include <algorithm>

#include <wso/base/error.hpp>
#include <wso/base/file.hpp>
#include <wso/store/record_store.hpp>

namespace wso::store {

namespace fs = std::filesystem;

namespace {

constexpr std::size_t record_limit = 1024 * 1024;
constexpr std::string_view suffix = ".json";

}  // namespace

RecordStore::RecordStore(fs::path directory) : directory_(std::move(directory)) {
  make_directories(directory_, 0700);
}

fs::path RecordStore::path_of(const std::string& name) const {
  return directory_ / (name + std::string(suffix));
}

void RecordStore::write(const std::string& name, const Json& contents) const {
  replace_file(path_of(name), dump_json(contents) + "\n", 0600);
}

bool RecordStore::erase(const std::string& name) const {
  return remove_file_durably(path_of(name));
}

LoadedRecords RecordStore::load() const {
  LoadedRecords loaded;
  std::error_code ec;
  for (fs::directory_iterator entry(directory_, ec), end; !ec && entry != end; entry.increment(ec)) {
    const fs::path& path = entry->path();
    // Others are the unfinished files of a write that a crash cut short.
    if (path.extension() != suffix) continue;
    try {
      const auto text = read_file(path, record_limit);
      if (text) loaded.records.push_back({path.stem(), parse_json(*text)});
    } catch (const Error& error) {
      loaded.damaged.push_back({path, error.what()});
    }
  }
  if (ec) throw_errno(fmt::format("read directory {}", directory_.native()), ec.value());
  std::sort(loaded.records.begin(), loaded.records.end(),
            [](const auto& a, const auto& b) { return a.name < b.name; });
  return loaded;
}

}  // namespace wso::store
