// The daemon's configuration: a TOML file, over which flags of the command line win.
#pragma once

#include <filesystem>
#include <string>

#include <wso/server.hpp>

namespace wso::wsod {

struct Config {
  ServerOptions server;
  std::filesystem::path socket = "/run/wso/wsod.sock";
  std::string log_level = "info";
  // "keep": domains go on running when the daemon ends; "destroy": they are destroyed.
  std::string on_exit = "keep";
};

// Throws Errc::invalid_argument with the file's name, and the line or the key that is wrong. A key
// that is not known is an error: it would be ignored otherwise.
Config read_config(const std::filesystem::path& path);

}  // namespace wso::wsod
