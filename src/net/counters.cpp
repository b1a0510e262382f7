#include <fstream>
#include <sstream>

#include <wso/base/error.hpp>
#include <wso/net/counters.hpp>

namespace wso::net {

std::map<std::string, LinkCounters> read_link_counters() {
  std::ifstream file("/proc/self/net/dev");
  if (!file) throw_errno("open /proc/self/net/dev");
  std::map<std::string, LinkCounters> links;
  std::string line;
  while (std::getline(file, line)) {
    // "name: rx_bytes rx_packets errs drop fifo frame compressed multicast tx_bytes tx_packets ..."
    const auto colon = line.find(':');
    if (colon == std::string::npos) continue;
    const auto start = line.find_first_not_of(' ');
    std::istringstream numbers(line.substr(colon + 1));
    LinkCounters counters;
    std::uint64_t skipped = 0;
    numbers >> counters.rx_bytes >> counters.rx_packets;
    for (int column = 0; column < 6; ++column) numbers >> skipped;
    numbers >> counters.tx_bytes >> counters.tx_packets;
    if (numbers) links.emplace(line.substr(start, colon - start), counters);
  }
  return links;
}

}  // namespace wso::net
