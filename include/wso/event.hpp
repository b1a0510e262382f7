// What a server tells of its domains while it runs. Values only.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include <wso/base/json.hpp>

namespace wso {

struct Event {
  std::int64_t number =
      0;  // grows from event to event, also from one run of the server to the next
  std::int64_t time_ms = 0;  // milliseconds since the epoch
  std::string event;         // such as "domain.launched", or QEMU's own "qemu.BLOCK_IO_ERROR"
  std::string domain_name;   // empty: of the server itself
  Json details;              // an object
};

// Events in order of their numbers, and before them those that a slow reader has missed.
struct EventBatch {
  std::int64_t missed_from = 0;  // both 0: nothing was missed
  std::int64_t missed_to = 0;
  std::vector<Event> events;

  // To ask with for what comes after this batch.
  [[nodiscard]] std::int64_t last() const {
    return events.empty() ? missed_to : events.back().number;
  }
};

}  // namespace wso
