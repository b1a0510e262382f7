// Reads nft's JSON listing of the table. Others may have changed the table: nothing of its shape is
// taken for granted.
#include <algorithm>
#include <set>

#include <wso/base/json.hpp>
#include <wso/nft/firewall.hpp>

namespace wso::nft {
namespace {

// The elements of one set; none if there is no such set.
std::vector<Json> elements_of(const Json& listing, std::string_view set_name) {
  const Json* objects = find_field(listing, "nftables");
  if (objects == nullptr || !objects->is_array())
    throw Error(Errc::protocol, "firewall: this is not a listing of nft");
  for (const Json& object : *objects) {
    const Json* set = object.is_object() ? find_field(object, "set") : nullptr;
    if (set == nullptr || !set->is_object() || optional_text(*set, "name") != set_name) continue;
    const Json* elements = find_field(*set, "elem");
    if (elements == nullptr || !elements->is_array()) return {};
    return {elements->begin(), elements->end()};
  }
  return {};
}

std::set<std::string> names_in(const std::vector<Json>& elements) {
  std::set<std::string> names;
  for (const Json& element : elements)
    if (element.is_string()) names.insert(element.get<std::string>());
  return names;
}

}  // namespace

std::vector<Guest> guests_in(std::string_view listing) {
  const Json parsed = parse_json(listing);
  const auto bridges = names_in(elements_of(parsed, "bridges"));
  const auto closed = names_in(elements_of(parsed, "closed"));
  std::vector<Guest> guests;
  for (const Json& element : elements_of(parsed, "guests")) {
    const Json* parts = element.is_object() ? find_field(element, "concat") : nullptr;
    if (parts == nullptr || !parts->is_array() || parts->size() != 3) continue;
    const bool all_texts = std::all_of(parts->begin(), parts->end(),
                                       [](const Json& part) { return part.is_string(); });
    if (!all_texts) continue;
    Guest guest{parts->at(0).get<std::string>(), parts->at(1).get<std::string>(),
                parts->at(2).get<std::string>()};
    guest.may_use_host = !closed.contains(guest.bridge_name);
    if (is_valid(guest) && bridges.contains(guest.bridge_name)) guests.push_back(std::move(guest));
  }
  return guests;
}

}  // namespace wso::nft
