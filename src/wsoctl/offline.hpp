// What list and status print if no daemon answers: what the records and the live processes tell.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

namespace wso::wsoctl {

struct Offline {
  std::filesystem::path workdir;  // of the daemon
  std::string why;                // the sentence that says that it does not answer
  bool json = false;              // print the wire form
};

void list_recorded(const Offline& offline);
// No names: all domains.
void show_recorded(const Offline& offline, const std::vector<std::string>& domain_names);

}  // namespace wso::wsoctl
