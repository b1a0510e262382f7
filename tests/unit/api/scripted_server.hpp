// A daemon made of a script, on a socket of its own, for tests of what talks to wsod.
#pragma once

#include <functional>
#include <list>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include <wso/api/rpc.hpp>
#include <wso/base/unique_fd.hpp>

namespace wso::test {

// A new directory that goes away with all that is in it.
class TemporaryDirectory {
 public:
  TemporaryDirectory();
  TemporaryDirectory(const TemporaryDirectory&) = delete;
  TemporaryDirectory& operator=(const TemporaryDirectory&) = delete;
  ~TemporaryDirectory();
  [[nodiscard]] const std::string& path() const { return path_; }

 private:
  std::string path_;
};

// Serves each connection on a thread of its own.
class ScriptedServer {
 public:
  // What is sent for a request, as it is. If that does not end a line, the server then hangs up.
  using Script = std::function<std::string(const api::Request&)>;

  explicit ScriptedServer(Script script);
  ScriptedServer(const ScriptedServer&) = delete;
  ScriptedServer& operator=(const ScriptedServer&) = delete;
  ~ScriptedServer();

  [[nodiscard]] std::string path() const { return directory_.path() + "/socket"; }
  // The requests so far, in the order of their arrival.
  std::vector<api::Request> requests();

 private:
  void accept_all();
  void serve(int connection);
  // False once the server is to end.
  [[nodiscard]] bool wait_readable(int fd) const;

  Script script_;
  TemporaryDirectory directory_;
  UniqueFd listener_;
  UniqueFd stop_;
  std::mutex mutex_;
  std::vector<api::Request> requests_;
  std::list<UniqueFd> connections_;
  std::list<std::thread> sessions_;
  std::thread acceptor_;
};

}  // namespace wso::test
