// One JSON document per domain in a directory, each replaced so that a crash at any instant leaves
// the old one or the new one. What the documents say is the business of wso::domain.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include <wso/base/json.hpp>

namespace wso::store {

struct StoredRecord {
  std::string name;
  Json contents;
};

struct DamagedRecord {
  std::filesystem::path path;
  std::string problem;
};

struct LoadedRecords {
  std::vector<StoredRecord> records;   // in order of name
  std::vector<DamagedRecord> damaged;  // not JSON, or not readable; left as they are
};

// All records of the directory, for who only looks: nothing is made, written or removed. A
// directory that is not there is Errc::not_found.
LoadedRecords read_records(const std::filesystem::path& directory);

// The file that holds the record.
std::filesystem::path record_path(const std::filesystem::path& directory, const std::string& name);

class RecordStore {
 public:
  // Makes the directory (0700) if need be, and removes what a crash left of a write. No other store
  // may be at work in it.
  explicit RecordStore(std::filesystem::path directory);

  // `name` must be a valid domain name: it becomes a file name.
  void write(const std::string& name, const Json& contents) const;
  bool erase(const std::string& name) const;
  // Moves a document that cannot be read to a neighbouring directory; returns where it is now.
  std::filesystem::path set_aside(const std::string& name) const;
  [[nodiscard]] LoadedRecords load() const { return read_records(directory_); }

 private:
  std::filesystem::path directory_;
};

}  // namespace wso::store
