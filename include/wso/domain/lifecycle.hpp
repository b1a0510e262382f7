// The story of a domain: how it is launched and how it is destroyed.
#pragma once

#include <memory>

#include <wso/domain/host.hpp>

namespace wso::domain {

// A domain whose QEMU runs.
struct RunningDomain {
  DomainRecord record;
  proc::Process process;
  std::shared_ptr<qmp::Client> monitor;
};

// All of it, or, after a failure or a cancellation at any line, nothing.
Task<RunningDomain> launch(Host& host, DomainPlan plan);

// Removes everything that the record names, whatever half of it is there; the disk stays if the
// record says so. Not to be cancelled. After a failure the record is kept, as `destroying`, so that
// destroying again goes on where this has stopped.
Task<> destroy(Host& host, DomainRecord record);

}  // namespace wso::domain
