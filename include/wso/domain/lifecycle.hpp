// The story of a domain: how it is launched, stopped, started again and destroyed.
#pragma once

#include <memory>

#include <wso/domain/host.hpp>

namespace wso::domain {

// A domain whose QEMU runs.
struct RunningDomain {
  DomainRecord record;
  StartedQemu qemu;
  std::shared_ptr<qmp::Client> monitor;
};

// What a crash of the daemon can leave on record: a start, or its undoing, of which nobody has been
// told that it runs; and a launch or a destruction, of which nothing is to be left.
bool is_half_started(const DomainRecord& record);
bool is_half_gone(const DomainRecord& record);

// All of it, or, after a failure or a cancellation at any line, nothing.
Task<RunningDomain> launch(Host& host, DomainPlan plan);

// Starts a domain that is stopped; after a failure or a cancellation it is stopped again, and
// `record` is what was written of it.
Task<RunningDomain> start(Host& host, DomainRecord& record, bool paused);

// Ends QEMU and removes the network; files and record stay. The record, returned as it was written
// last, tells in its other fields why, and what is to follow. Not to be cancelled. After a failure
// it says `stopping`, so that the next start of the daemon goes on where this has stopped. If the
// record cannot be written, the domain runs on, unless its guest is off anyway.
Task<DomainRecord> halt(Host& host, DomainRecord record, bool guest_is_off = false);

// Removes everything that the record names, whatever half of it is there; the disk stays if the
// record says so. Not to be cancelled. After a failure the record is kept, as `destroying`, or as
// it was if the disk is full, so that destroying again goes on where this has stopped.
Task<> destroy(Host& host, DomainRecord record);

}  // namespace wso::domain
