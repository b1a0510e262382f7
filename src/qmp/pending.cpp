// The table by id; an entry leaves it when its reply comes, or with the connection.
#include <utility>

#include <wso/qmp/pending.hpp>

namespace wso::qmp {

std::uint64_t PendingTable::add(Completion completion) {
  ++last_id_;
  requests_.emplace(last_id_, std::move(completion));
  return last_id_;
}

void PendingTable::abandon(std::uint64_t id) {
  if (const auto request = requests_.find(id); request != requests_.end())
    request->second = nullptr;
}

void PendingTable::complete(std::uint64_t id, Answer answer) {
  auto request = requests_.extract(id);
  if (request.empty()) throw Error(Errc::protocol, "a reply to request {}, which is not open", id);
  if (request.mapped()) request.mapped()(std::move(answer));
}

void PendingTable::fail_all(const Error& reason) {
  for (auto& [id, completion] : std::exchange(requests_, {}))
    if (completion) completion(reason);
}

}  // namespace wso::qmp
