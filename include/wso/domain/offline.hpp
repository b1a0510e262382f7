// What can be said of the domains while no server manages them: what their records and the
// processes that are alive tell. Only looks; needs no OpenSSL, libnl or libnftables.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include <wso/domain.hpp>

namespace wso::domain {

struct UnreadRecord {
  std::filesystem::path path;
  std::string problem;
};

struct OfflineDomains {
  std::vector<DomainState> states;   // in order of name
  std::vector<UnreadRecord> unread;  // damaged, or of another version
};

// Throws Errc::not_found if `workdir` holds no records, Errc::permission if they are not this
// user's to read.
OfflineDomains read_offline(const std::filesystem::path& workdir);

}  // namespace wso::domain
