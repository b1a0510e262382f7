// What can be asked of the daemon: the methods of the control socket.
#pragma once

#include <string>

#include <wso/base/json.hpp>
#include <wso/base/task.hpp>
#include <wso/server.hpp>

namespace wso::wsod {

// What the methods work on; owned by main.
struct Context {
  Server& server;
  std::string socket;
  std::int64_t started_at;  // seconds since the epoch
};

// The result of a method. Throws Error, or api::RequestError for a method that there is none of.
Task<Json> call(Context& context, std::string method, Json params);

}  // namespace wso::wsod
