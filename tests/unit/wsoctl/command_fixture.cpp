// One-line runs and one-line daemons for the tests of wsoctl's commands.
#include "command_fixture.hpp"

namespace wso::test {

Outcome run(std::vector<std::string> arguments) {
  Program program(std::move(arguments));
  const int status = program.wait();
  return {status, program.output(), program.errors()};
}

Outcome run(const ScriptedServer& server, std::vector<std::string> arguments) {
  arguments.insert(arguments.begin(), {"--socket", server.path()});
  return run(std::move(arguments));
}

bool holds(std::string_view text, std::string_view part) {
  return text.find(part) != std::string_view::npos;
}

DomainState domain(std::string name) {
  DomainState state;
  state.domain_name = std::move(name);
  state.network_name = "wso-net-web";
  state.ip_address = "192.168.100.229";
  state.state = RunState::running;
  state.pid = 4711;
  state.n_cpus = 2;
  state.memory_kib = 512 * 1024;
  state.disk_path = "/tmp/wso-web-disk.qcow2";
  return state;
}

ScriptedServer::Script always(Json result) {
  return [result = std::move(result)](const api::Request& request) {
    return api::format_result(request.id, result);
  };
}

ScriptedServer::Script never(Errc code, std::string sentence) {
  return [code, sentence = std::move(sentence)](const api::Request& request) {
    return api::format_error(request.id, Error(code, "{}", sentence));
  };
}

}  // namespace wso::test
