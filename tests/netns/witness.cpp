#include "witness.hpp"

#include <cstdio>

namespace wso::test {

std::string run(const std::string& command) {
  FILE* pipe = ::popen(("{ " + command + "; } 2>&1").c_str(), "re");
  if (pipe == nullptr) throw_errno("popen");
  std::string printed;
  char buffer[4096];
  for (std::size_t got = 0; (got = ::fread(buffer, 1, sizeof buffer, pipe)) > 0;)
    printed.append(buffer, got);
  if (const int status = ::pclose(pipe); status != 0)
    throw Error(Errc::process, "{}: status {}: {}", command, status, printed);
  return printed;
}

Json run_json(const std::string& command) {
  const std::string printed = run(command);
  return printed.empty() ? Json::array() : parse_json(printed);
}

std::string namespace_state() {
  return run(
      "ip -j link; ip -j address; ip -j -4 route show table all; ip -j -6 route show table all; "
      "ip -j rule; ip -j -6 rule; ip -j neighbour; nft -j list ruleset");
}

}  // namespace wso::test
