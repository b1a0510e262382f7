// What is remembered of a domain, in memory and on disk.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include <wso/base/file.hpp>
#include <wso/base/json.hpp>
#include <wso/domain.hpp>
#include <wso/domain/plan.hpp>
#include <wso/proc/process.hpp>

namespace wso::domain {

// For what a guest's power button was pressed: what it means when it powers off, be it after the
// verb's time, or with another daemon.
enum class PowerButton { none, stop, reboot };

struct DomainRecord {
  DomainPlan plan;
  RunState state = RunState::launching;
  std::string reason;
  // Which files are the domain's: only these are ever opened again or removed.
  FileIdentity disk;
  FileIdentity script;
  bool keep_disk = false;         // of a destruction under way
  int n_restarts = 0;             // in a row, without the user's doing
  bool restart_pending = false;   // stopped, and to be started again after a pause
  bool recreate_pending = false;  // to be given a new disk before that
  PowerButton pressed_for = PowerButton::none;
  proc::ProcessIdentity qemu;  // pid 0: none, or not known yet
  std::int64_t started_at = 0;

  bool operator==(const DomainRecord&) const = default;
};

DomainState state_of(const DomainRecord& record);

// The form on disk. It carries a version: an older one is read, a newer one is Errc::wrong_state.
// Whatever else is wrong is Errc::protocol or Errc::invalid_argument.
Json to_json(const DomainRecord& record);
DomainRecord parse_record(const Json& json);

}  // namespace wso::domain
