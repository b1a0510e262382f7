// Which requests of one QMP connection still await a reply, without I/O. Owned by qmp::Client.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <variant>

#include <wso/base/error.hpp>
#include <wso/qmp/codec.hpp>

namespace wso::qmp {

// How a request ended: the `return` value, a refusal, or why neither can come any more.
using Answer = std::variant<Json, Refusal, Error>;

class PendingTable {
 public:
  using Completion = std::function<void(Answer)>;  // called at most once; must not throw

  // The id to send, never 0 and never one used before.
  std::uint64_t add(Completion completion);
  // Forgets the completion. The reply may still come, and is then swallowed. No effect on a request
  // that was answered.
  void abandon(std::uint64_t id);
  // Errc::protocol for an id that was never sent or has been answered.
  void complete(std::uint64_t id, Answer answer);
  // Ends every request, each once, with this error.
  void fail_all(const Error& reason);

  [[nodiscard]] std::size_t size() const { return requests_.size(); }

 private:
  std::uint64_t last_id_ = 0;
  std::map<std::uint64_t, Completion> requests_;  // an empty completion: abandoned
};

}  // namespace wso::qmp
