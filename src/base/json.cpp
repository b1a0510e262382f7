#include <algorithm>

#include <wso/base/error.hpp>
#include <wso/base/json.hpp>

namespace wso {
namespace {

const Json& required(const Json& object, std::string_view key) {
  const Json* value = find_field(object, key);
  if (value == nullptr) throw Error(Errc::protocol, "'{}' is missing", key);
  return *value;
}

std::string as_text(const Json& value, std::string_view key) {
  if (!value.is_string()) throw Error(Errc::protocol, "'{}' must be a string", key);
  return value.get<std::string>();
}

std::int64_t as_integer(const Json& value, std::string_view key, std::int64_t min,
                        std::int64_t max) {
  if (!value.is_number_integer()) throw Error(Errc::protocol, "'{}' must be a whole number", key);
  // An unsigned value past INT64_MAX would turn negative in the conversion.
  const bool fits = !value.is_number_unsigned() ||
                    value.get<std::uint64_t>() <= std::numeric_limits<std::int64_t>::max();
  const auto number = value.get<std::int64_t>();
  if (!fits || number < min || number > max)
    throw Error(Errc::protocol, "'{}' must be from {} to {}", key, min, max);
  return number;
}

}  // namespace

Json parse_json(std::string_view text) {
  const auto limit_depth = [](int depth, Json::parse_event_t /*event*/, Json& /*parsed*/) {
    if (depth > json_depth_limit)
      throw Error(Errc::protocol, "JSON is nested deeper than {} levels", json_depth_limit);
    return true;
  };
  // The parser would take a NUL for the end, and whatever stands behind it for nothing.
  if (text.find('\0') != std::string_view::npos) throw Error(Errc::protocol, "this is not JSON");
  Json value = Json::parse(text, limit_depth, /*allow_exceptions=*/false);
  if (value.is_discarded()) throw Error(Errc::protocol, "this is not JSON");
  return value;
}

std::string dump_json(const Json& value) {
  return value.dump(-1, ' ', /*ensure_ascii=*/false, Json::error_handler_t::replace);
}

void expect_object(const Json& value, std::initializer_list<std::string_view> allowed_keys) {
  if (!value.is_object()) throw Error(Errc::protocol, "an object is expected");
  for (const auto& item : value.items()) {
    const auto* const known = std::find(allowed_keys.begin(), allowed_keys.end(), item.key());
    if (known == allowed_keys.end()) throw Error(Errc::protocol, "'{}' is not known", item.key());
  }
}

const Json* find_field(const Json& object, std::string_view key) {
  if (!object.is_object()) throw Error(Errc::protocol, "an object with '{}' is expected", key);
  const auto found = object.find(key);
  return found == object.end() || found->is_null() ? nullptr : &*found;
}

std::string text_field(const Json& object, std::string_view key) {
  return as_text(required(object, key), key);
}

std::optional<std::string> optional_text(const Json& object, std::string_view key) {
  const Json* value = find_field(object, key);
  if (value == nullptr) return std::nullopt;
  return as_text(*value, key);
}

std::int64_t integer_field(const Json& object, std::string_view key, std::int64_t min,
                           std::int64_t max) {
  return as_integer(required(object, key), key, min, max);
}

std::optional<std::int64_t> optional_integer(const Json& object, std::string_view key,
                                             std::int64_t min, std::int64_t max) {
  const Json* value = find_field(object, key);
  if (value == nullptr) return std::nullopt;
  return as_integer(*value, key, min, max);
}

bool optional_bool(const Json& object, std::string_view key, bool otherwise) {
  const Json* value = find_field(object, key);
  if (value == nullptr) return otherwise;
  if (!value->is_boolean()) throw Error(Errc::protocol, "'{}' must be true or false", key);
  return value->get<bool>();
}

std::vector<std::string> optional_texts(const Json& object, std::string_view key) {
  const Json* value = find_field(object, key);
  if (value == nullptr) return {};
  if (!value->is_array()) throw Error(Errc::protocol, "'{}' must be a list of strings", key);
  std::vector<std::string> texts;
  for (const Json& item : *value) texts.push_back(as_text(item, key));
  return texts;
}

}  // namespace wso
