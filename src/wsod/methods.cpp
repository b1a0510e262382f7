#include "methods.hpp"

#include <functional>
#include <map>

#include <unistd.h>

#include <wso/api/rpc.hpp>
#include <wso/api/wire.hpp>
#include <wso/base/error.hpp>

namespace wso::wsod {
namespace {

constexpr std::int64_t day_in_ms = 24LL * 60 * 60 * 1000;

template <typename T>
Json list_of(std::string_view key, const std::vector<T>& values) {
  Json list = Json::array();
  for (const T& value : values) list.push_back(api::to_json(value));
  return {{key, std::move(list)}};
}

Task<Json> launch(Context& context, Json params) {
  const DomainState state = co_await context.server.launch_domain(api::parse_domain_spec(params));
  co_return api::to_json(state);
}

Task<Json> list(Context& context, Json params) {
  expect_object(params, {});
  co_return list_of("domains", context.server.domains());
}

Task<Json> status(Context& context, Json params) {
  expect_object(params, {"names"});
  co_return list_of("domains", co_await context.server.status(optional_texts(params, "names")));
}

Task<Json> destroy(Context& context, Json params) {
  expect_object(params, {"domain_name", "keep_disk"});
  const DomainState state = co_await context.server.destroy_domain(
      text_field(params, "domain_name"), optional_bool(params, "keep_disk", false));
  co_return api::to_json(state);
}

Task<Json> check(Context& context, Json params) {
  expect_object(params, {"names"});
  co_return list_of("checks", co_await context.server.check(optional_texts(params, "names")));
}

milliseconds timeout_field(const Json& params) {
  constexpr std::int64_t otherwise = 60'000;
  return milliseconds(optional_integer(params, "timeout_ms", 0, day_in_ms).value_or(otherwise));
}

Task<Json> start(Context& context, Json params) {
  expect_object(params, {"domain_name", "paused"});
  const bool paused = optional_bool(params, "paused", false);
  co_return api::to_json(
      co_await context.server.start_domain(text_field(params, "domain_name"), paused));
}

Task<Json> stop(Context& context, Json params) {
  expect_object(params, {"domain_name", "force", "timeout_ms"});
  const bool force = optional_bool(params, "force", false);
  const milliseconds limit = timeout_field(params);
  co_return api::to_json(
      co_await context.server.stop_domain(text_field(params, "domain_name"), force, limit));
}

Task<Json> reboot(Context& context, Json params) {
  expect_object(params, {"domain_name", "timeout_ms"});
  const milliseconds limit = timeout_field(params);
  co_return api::to_json(
      co_await context.server.reboot_domain(text_field(params, "domain_name"), limit));
}

Task<Json> reset(Context& context, Json params) {
  expect_object(params, {"domain_name"});
  co_return api::to_json(co_await context.server.reset_domain(text_field(params, "domain_name")));
}

Task<Json> pause(Context& context, Json params) {
  expect_object(params, {"domain_name"});
  co_return api::to_json(co_await context.server.pause_domain(text_field(params, "domain_name")));
}

Task<Json> resume(Context& context, Json params) {
  expect_object(params, {"domain_name"});
  co_return api::to_json(co_await context.server.resume_domain(text_field(params, "domain_name")));
}

ProbeKind parse_probe(const std::string& word) {
  if (word == "ping") return ProbeKind::ping;
  if (word == "ssh") return ProbeKind::ssh;
  if (word == "healthy") return ProbeKind::healthy;
  throw Error(Errc::invalid_argument, "'for' is '{}': use ping, ssh or healthy", word);
}

Task<Json> wait(Context& context, Json params) {
  expect_object(params, {"domain_name", "for", "timeout_ms"});
  const ProbeKind kind = parse_probe(text_field(params, "for"));
  const milliseconds limit(integer_field(params, "timeout_ms", 1, day_in_ms));
  const auto waited =
      co_await context.server.wait_for(text_field(params, "domain_name"), kind, limit);
  co_return Json{{"waited_ms", waited.count()}};
}

Task<Json> netconfig(Context& context, Json params) {
  expect_object(params, {"domain_name"});
  co_return Json{{"script", context.server.network_script(text_field(params, "domain_name"))}};
}

Task<Json> list_networks(Context& context, Json params) {
  expect_object(params, {});
  co_return list_of("networks", context.server.networks());
}

Task<Json> show_network(Context& context, Json params) {
  expect_object(params, {"network_name"});
  co_return api::to_json(context.server.network(text_field(params, "network_name")));
}

Task<Json> info(Context& context, Json params) {
  expect_object(params, {});
  const ServerOptions& options = context.server.options();
  co_return Json{{"version", WSO_VERSION},
                 {"pid", ::getpid()},
                 {"accel", options.accel},
                 {"workdir", options.workdir.native()},
                 {"runtime_dir", options.runtime_dir.native()},
                 {"disk_dir", options.disk_dir.native()},
                 {"socket", context.socket},
                 {"subnet", options.subnet},
                 {"gateway", options.gateway},
                 {"qemu", options.qemu},
                 {"n_mended", context.server.n_mended()},
                 {"n_domains", context.server.domains().size()},
                 {"started_at", context.started_at}};
}

using Method = std::function<Task<Json>(Context&, Json)>;

const std::map<std::string, Method, std::less<>>& methods() {
  static const std::map<std::string, Method, std::less<>> table = {
      {"domain.launch", launch},       {"domain.list", list},
      {"domain.start", start},         {"domain.stop", stop},
      {"domain.reboot", reboot},       {"domain.reset", reset},
      {"domain.pause", pause},         {"domain.resume", resume},
      {"domain.status", status},       {"domain.destroy", destroy},
      {"domain.check", check},         {"domain.wait", wait},
      {"domain.netconfig", netconfig}, {"network.list", list_networks},
      {"network.show", show_network},  {"daemon.info", info},
  };
  return table;
}

}  // namespace

Task<Json> call(Context& context, std::string method, Json params) {
  const auto found = methods().find(method);
  if (found == methods().end())
    throw api::RequestError{api::method_not_found, fmt::format("there is no method '{}'", method),
                            nullptr};
  return found->second(context, std::move(params));
}

}  // namespace wso::wsod
