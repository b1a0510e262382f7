// What the tests of wsoctl's commands share: a run of the program and daemons in one line.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include <wso/domain.hpp>

#include "program.hpp"
#include "scripted_server.hpp"

namespace wso::test {

struct Outcome {
  int status = 0;
  std::string output;
  std::string errors;
};

Outcome run(std::vector<std::string> arguments);
Outcome run(const ScriptedServer& server, std::vector<std::string> arguments);

bool holds(std::string_view text, std::string_view part);

// A running domain.
DomainState domain(std::string name);

// A daemon that answers every request with this result.
ScriptedServer::Script always(Json result);
// A daemon that refuses every request.
ScriptedServer::Script never(Errc code, std::string sentence);

}  // namespace wso::test
