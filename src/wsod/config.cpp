// toml++ 3.3 asserts of the key in a table header what it tells apart a few lines later: a line
// with nothing but "[" would abort the daemon, and be undefined under NDEBUG, instead of being an
// error.
#undef NDEBUG
#define TOML_ASSERT(expression) static_assert(true)
#include "config.hpp"

#include <cstdint>
#include <functional>
#include <map>

#include <toml++/toml.h>

#include <wso/base/error.hpp>
#include <wso/base/file.hpp>

namespace wso::wsod {
namespace {

constexpr std::size_t config_limit = 1024 * 1024;

std::string as_text(const toml::node& node, std::string_view key) {
  const auto text = node.value_exact<std::string>();
  if (!text) throw Error(Errc::invalid_argument, "{} must be a string", key);
  return *text;
}

std::int64_t as_integer(const toml::node& node, std::string_view key, std::int64_t min,
                        std::int64_t max) {
  const auto number = node.value_exact<std::int64_t>();
  if (!number || *number < min || *number > max)
    throw Error(Errc::invalid_argument, "{} must be a whole number from {} to {}", key, min, max);
  return *number;
}

std::vector<std::string> as_texts(const toml::node& node, std::string_view key) {
  const toml::array* list = node.as_array();
  if (list == nullptr) throw Error(Errc::invalid_argument, "{} must be a list of strings", key);
  std::vector<std::string> texts;
  for (const toml::node& item : *list) texts.push_back(as_text(item, key));
  return texts;
}

using Setter = std::function<void(const toml::node&, std::string_view)>;

std::map<std::string_view, Setter> setters(Config& config) {
  ServerOptions& server = config.server;
  const auto text = [](auto& target) -> Setter {
    return [&target](const toml::node& node, std::string_view key) { target = as_text(node, key); };
  };
  return {
      {"workdir", text(server.workdir)},
      {"runtime_dir", text(server.runtime_dir)},
      {"disk_dir", text(server.disk_dir)},
      {"socket", text(config.socket)},
      {"log_level", text(config.log_level)},
      {"on_exit", text(config.on_exit)},
      {"accel", text(server.accel)},
      {"qemu", text(server.qemu)},
      {"subnet", text(server.subnet)},
      {"gateway", text(server.gateway)},
      {"guest_to_host", text(server.guest_to_host)},
      {"dns_servers", [&](const toml::node& node,
                          std::string_view key) { server.dns_servers = as_texts(node, key); }},
      {"first_uid",
       [&](const toml::node& node, std::string_view key) {
         server.first_uid = static_cast<uid_t>(as_integer(node, key, 1, INT32_MAX));
       }},
      {"restart_pause_ms",
       [&](const toml::node& node, std::string_view key) {
         server.restart_pause = std::chrono::milliseconds(as_integer(node, key, 1, 60'000));
       }},
      {"qemu_start_seconds",
       [&](const toml::node& node, std::string_view key) {
         server.qemu_start_limit = std::chrono::seconds(as_integer(node, key, 1, 3600));
       }},
  };
}

toml::table parse(const std::filesystem::path& path, const std::string& text) {
  try {
    return toml::parse(text);
  } catch (const toml::parse_error& error) {
    throw Error(Errc::invalid_argument, "configuration {}, line {}: {}", path.native(),
                error.source().begin.line, error.description());
  }
}

}  // namespace

Config read_config(const std::filesystem::path& path) {
  // read_file() follows no link; that a configuration is one, its owner has decided.
  std::error_code ec;
  const auto resolved = std::filesystem::canonical(path, ec);
  const auto text = read_file(ec ? path : resolved, config_limit);
  if (!text) throw Error(Errc::not_found, "there is no configuration {}", path.native());
  const toml::table table = parse(path, *text);
  Config config;
  const auto known = setters(config);
  for (const auto& [key, node] : table) {
    const auto setter = known.find(key.str());
    if (setter == known.end())
      throw Error(Errc::invalid_argument, "configuration {}: '{}' is not known", path.native(),
                  key.str());
    try {
      setter->second(node, key.str());
    } catch (const Error& error) {
      throw error.with_context("configuration " + path.native());
    }
  }
  return config;
}

}  // namespace wso::wsod
