// Those values of <wso/domain.hpp> that have the same JSON form in a record and on the wire, and
// the words for its enumerators.
#pragma once

#include <optional>

#include <wso/base/error.hpp>
#include <wso/base/json.hpp>
#include <wso/domain.hpp>

namespace wso {

// The enumerator that `parse` finds for the text under the key; nullopt if there is none.
template <typename Enum>
std::optional<Enum> optional_word(const Json& json, std::string_view key,
                                  std::optional<Enum> (*parse)(std::string_view)) {
  const auto text = optional_text(json, key);
  if (!text) return std::nullopt;
  const auto value = parse(*text);
  if (!value) throw Error(Errc::protocol, "'{}' is '{}', which is not known", key, *text);
  return value;
}

template <typename Enum>
Enum word_field(const Json& json, std::string_view key,
                std::optional<Enum> (*parse)(std::string_view)) {
  const auto value = optional_word(json, key, parse);
  if (!value) throw Error(Errc::protocol, "'{}' is missing", key);
  return *value;
}

Json to_json(const HealthCheck& health);
// The object under the key "health"; a default without one. What is absent in it has the default of
// HealthCheck, but for "probe". Only types are checked.
HealthCheck health_field(const Json& owner);

}  // namespace wso
