// wsoctl start, stop, reboot, reset, pause, resume, destroy: each on several domains at once.
#include <algorithm>
#include <set>

#include <wso/api/wire.hpp>
#include <wso/base/error.hpp>

#include "commands.hpp"
#include "output.hpp"
#include "table.hpp"

namespace wso::wsoctl {
namespace {

// Each takes a connection: enough to keep the daemon busy, far below any limit on open files.
constexpr std::size_t at_once = 32;

// A domain that fails is reported and does not stop the others.
template <typename Step>
bool attempt(Step step) {
  try {
    step();
    return true;
  } catch (const Error& error) {
    print_failure(error.what());
    return false;
  }
}

// Asks for them all before it waits for the first; appends the answers. False if one failed.
bool ask_together(const Session& session, const VerbRequest& request,
                  const std::vector<std::string>& domain_names, Json& answers) {
  std::vector<Client> pending;
  bool all = true;
  for (const std::string& domain_name : domain_names)
    all &= attempt([&] {
      Json params = request.params;
      params["domain_name"] = domain_name;
      Client client(session.socket_path);
      client.send("domain." + request.verb, params);
      pending.push_back(std::move(client));
    });
  for (Client& client : pending)
    all &= attempt([&client, &answers] {
      Json answer = client.wait();
      api::parse_domain_state(answer);
      answers.push_back(std::move(answer));
    });
  return all;
}

std::string done_text(const VerbRequest& request, const Json& answer) {
  const DomainState state = api::parse_domain_state(answer);
  const bool changed = optional_bool(answer, "changed", true);
  if (!changed && state.state == RunState::unresponsive)
    return fmt::format("nothing to do for {}, whose QEMU does not answer", state.domain_name);
  if (!changed) return fmt::format("{} is {} already", state.domain_name, name(state.state));
  std::string text = fmt::format("{} {}", request.done, state.domain_name);
  if (optional_bool(request.params, "keep_disk", false))
    text += fmt::format("; its disk is kept: {}", state.disk_path);
  return text;
}

}  // namespace

ExitStatus run_verb(Session& session, const VerbRequest& request) {
  // One that is named twice would be busy with itself.
  std::vector<std::string> domain_names = request.domain_names;
  std::set<std::string> named;
  std::erase_if(domain_names, [&named](const auto& each) { return !named.insert(each).second; });
  Json answers = Json::array();
  bool all = true;
  for (auto rest = domain_names.begin(); rest != domain_names.end();) {
    const auto left = static_cast<std::size_t>(domain_names.end() - rest);
    const auto end = rest + static_cast<std::ptrdiff_t>(std::min(left, at_once));
    all &= ask_together(session, request, {rest, end}, answers);
    rest = end;
  }
  if (!session.json) {
    for (const Json& answer : answers) print(printable(done_text(request, answer)) + '\n');
  } else if (!answers.empty()) {
    print_json({{"domains", answers}});
  }
  return all ? done : failed;
}

}  // namespace wso::wsoctl
