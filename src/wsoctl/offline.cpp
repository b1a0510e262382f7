// wsoctl list, status without a daemon. The only file of wsoctl that knows wso::domain.
#include "offline.hpp"

#include <algorithm>

#include <wso/api/wire.hpp>
#include <wso/base/error.hpp>
#include <wso/domain/offline.hpp>

#include "commands.hpp"
#include "output.hpp"

namespace wso::wsoctl {
namespace {

std::vector<DomainState> recorded_states(const Offline& offline) {
  domain::OfflineDomains domains = domain::read_offline(offline.workdir);
  print_failure(fmt::format("this is from the records in {} and the processes that run",
                            offline.workdir.native()));
  for (const auto& [path, problem] : domains.unread)
    print_failure(fmt::format("{} is left out: {}", path.native(), problem));
  return std::move(domains.states);
}

const DomainState& find(const std::vector<DomainState>& states, const Offline& offline,
                        const std::string& domain_name) {
  const auto found = std::find_if(
      states.begin(), states.end(),
      [&domain_name](const DomainState& state) { return state.domain_name == domain_name; });
  if (found == states.end())
    throw Error(Errc::not_found, "of domain {} there is no record to be read in {}", domain_name,
                offline.workdir.native());
  return *found;
}

}  // namespace

void list_recorded(const Offline& offline) {
  Json domains = Json::array();
  for (const DomainState& state : recorded_states(offline)) domains.push_back(api::to_json(state));
  print_domains({{"domains", std::move(domains)}}, offline.json);
}

void show_recorded(const Offline& offline, const std::vector<std::string>& domain_names) {
  const std::vector<DomainState> states = recorded_states(offline);
  std::vector<DomainState> chosen = states;
  if (!domain_names.empty()) chosen.clear();
  for (const std::string& domain_name : domain_names)
    chosen.push_back(find(states, offline, domain_name));
  Json domains = Json::array();
  for (DomainState& state : chosen) {
    DomainStatus status;
    status.state = std::move(state);
    status.problem = offline.why;
    domains.push_back(api::to_json(status));
  }
  print_statuses({{"domains", std::move(domains)}}, offline.json);
}

}  // namespace wso::wsoctl
