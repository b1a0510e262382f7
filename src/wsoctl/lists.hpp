// The lists in wsod's answers, such as {"domains": [...]}.
#pragma once

#include <string_view>
#include <type_traits>
#include <vector>

#include <wso/base/error.hpp>
#include <wso/base/json.hpp>

namespace wso::wsoctl {

template <typename T>
std::vector<T> parse_list(const Json& result, std::string_view key, T (*parse)(const Json&)) {
  const Json* list = find_field(result, key);
  if (list == nullptr || !list->is_array())
    throw Error(Errc::protocol, "wsod's answer has no list '{}'", key);
  std::vector<T> values;
  for (const Json& item : *list) values.push_back(parse(item));
  return values;
}

}  // namespace wso::wsoctl
