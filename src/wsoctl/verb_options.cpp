// The options of the verbs: wsoctl start, stop, reboot, reset, pause, resume, destroy.
#include <cmath>

#include "command_line.hpp"

namespace wso::wsoctl {

std::int64_t parse_milliseconds(std::string_view text) {
  constexpr int longest_s = 24 * 60 * 60;
  double seconds = -1;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), seconds);
  if (error != std::errc() || end != text.data() + text.size() || !(seconds >= 0) ||
      seconds > longest_s)
    throw Error(Errc::invalid_argument, "{}: seconds from 0 to {} are expected", text, longest_s);
  return std::llround(seconds * 1000);
}

namespace {

// A verb on the named domains; the caller adds its options, which write into `params`.
CLI::App* add_verb(CLI::App& app, CommandLine& line, const std::shared_ptr<VerbRequest>& request,
                   const char* help) {
  auto* sub = app.add_subcommand(request->verb, help);
  sub->add_option("NAME", request->domain_names, "Names of domains")->required();
  sub->callback([&line, request] {
    line.command = [request](Session& session) { return run_verb(session, *request); };
  });
  return sub;
}

std::shared_ptr<VerbRequest> verb(std::string word, std::string done) {
  auto request = std::make_shared<VerbRequest>();
  request->verb = std::move(word);
  request->done = std::move(done);
  return request;
}

void add_flag(CLI::App& sub, const std::shared_ptr<VerbRequest>& request, const std::string& name,
              const std::string& key, const char* help) {
  sub.add_flag_callback(
      name, [request, key] { request->params[key] = true; }, help);
}

void add_timeout(CLI::App& sub, const std::shared_ptr<VerbRequest>& request) {
  const auto understand = [request](const std::string& text) {
    request->params["timeout_ms"] = parse_milliseconds(text);
  };
  sub.add_option_function<std::string>("--timeout", understand,
                                       "Seconds that the guest has (60 unless given)")
      ->type_name("SECONDS");
}

}  // namespace

void add_verbs(CLI::App& app, CommandLine& line) {
  const auto start = verb("start", "started");
  add_flag(*add_verb(app, line, start, "Start stopped domains"), start, "--paused", "paused",
           "Leave the CPUs stopped");
  const auto stop = verb("stop", "stopped");
  auto* stop_app = add_verb(app, line, stop, "Press the power button and wait for the power-off");
  add_flag(*stop_app, stop, "--force", "force", "End QEMU if the guest does not power off in time");
  add_timeout(*stop_app, stop);
  const auto reboot = verb("reboot", "rebooted");
  add_timeout(*add_verb(app, line, reboot, "Power off by the power button, and start anew"),
              reboot);
  add_verb(app, line, verb("reset", "reset"), "Press the reset button");
  add_verb(app, line, verb("pause", "paused"), "Stop the CPUs");
  add_verb(app, line, verb("resume", "resumed"), "Let the CPUs go on");
  const auto destroy = verb("destroy", "destroyed");
  add_flag(*add_verb(app, line, destroy, "Stop domains and remove all that belongs to them"),
           destroy, "--keep-disk", "keep_disk", "Leave the disk where it is");
}

}  // namespace wso::wsoctl
