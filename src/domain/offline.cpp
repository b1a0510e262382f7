#include <algorithm>

#include <wso/base/error.hpp>
#include <wso/domain/offline.hpp>
#include <wso/domain/record.hpp>
#include <wso/store/record_store.hpp>

namespace wso::domain {
namespace {

bool qemu_lives(const DomainRecord& record) {
  const auto process = proc::Process::find(record.qemu);
  return process && process->has_argument(record.plan.uuid);
}

DomainState offline_state(const DomainRecord& record) {
  DomainState state = state_of(record);
  if (state.state == RunState::stopped) return state;
  const bool alive = qemu_lives(record);
  if (!alive) state.pid = 0;
  if (state.state != RunState::running && state.state != RunState::paused) {
    state.reason = "left half done: no wsod is there to complete it";
  } else if (!alive) {
    state.state = RunState::stopped;
    state.reason = "QEMU has gone, and no wsod was there to see why";
  }
  return state;
}

store::LoadedRecords read_all(const std::filesystem::path& directory) {
  try {
    return store::read_records(directory);
  } catch (const Error& error) {
    if (error.code() == Errc::not_found)
      throw Error(Errc::not_found, "there are no records in {}: name wsod's workdir with --workdir",
                  directory.native());
    if (error.code() == Errc::permission)
      throw Error(Errc::permission, "the records in {} are not yours to read: be root",
                  directory.native());
    throw;
  }
}

}  // namespace

OfflineDomains read_offline(const std::filesystem::path& workdir) {
  const std::filesystem::path directory = records_dir(workdir);
  const store::LoadedRecords loaded = read_all(directory);
  OfflineDomains domains;
  for (const auto& damaged : loaded.damaged)
    domains.unread.push_back({damaged.path, damaged.problem});
  for (const auto& [domain_name, contents] : loaded.records) {
    try {
      const DomainRecord record = parse_record(contents);
      if (record.plan.spec.domain_name != domain_name)
        throw Error(Errc::protocol, "it is the record of {}", record.plan.spec.domain_name);
      domains.states.push_back(offline_state(record));
    } catch (const Error& error) {
      domains.unread.push_back({store::record_path(directory, domain_name), error.what()});
    }
  }
  std::sort(domains.unread.begin(), domains.unread.end(),
            [](const auto& a, const auto& b) { return a.path < b.path; });
  return domains;
}

}  // namespace wso::domain
