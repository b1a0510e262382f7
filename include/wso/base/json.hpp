// JSON that somebody else wrote: parsed within bounds, read through checked accessors. Every
// failure is Errc::protocol and names the field.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <limits>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <nlohmann/json.hpp>

namespace wso {

using Json = nlohmann::json;

// Nesting deeper than this is refused: dumping a value recurses.
inline constexpr int json_depth_limit = 32;

Json parse_json(std::string_view text);

// One line without a line break, whatever bytes the strings hold.
std::string dump_json(const Json& value);

// Throws unless value is an object that has no key but these.
void expect_object(const Json& value, std::initializer_list<std::string_view> allowed_keys);

// nullptr if the key is absent or null. `object` must be an object.
const Json* find_field(const Json& object, std::string_view key);

std::string text_field(const Json& object, std::string_view key);
std::optional<std::string> optional_text(const Json& object, std::string_view key);

// A whole number within [min, max].
std::int64_t integer_field(const Json& object, std::string_view key, std::int64_t min = 0,
                           std::int64_t max = std::numeric_limits<std::int64_t>::max());
std::optional<std::int64_t> optional_integer(
    const Json& object, std::string_view key, std::int64_t min = 0,
    std::int64_t max = std::numeric_limits<std::int64_t>::max());

bool optional_bool(const Json& object, std::string_view key, bool otherwise);
std::vector<std::string> optional_texts(const Json& object, std::string_view key);

}  // namespace wso
