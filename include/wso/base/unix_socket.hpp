// UNIX stream sockets that listen under a path.
#pragma once

#include <filesystem>
#include <optional>

#include <sys/types.h>

#include <wso/base/unique_fd.hpp>

namespace wso {

// Throws Errc::invalid_argument for a path that does not fit a socket address (107 bytes).
void check_socket_path(const std::filesystem::path& path);

// A non-blocking listening socket under the path, with this mode and group from its first instant.
// What a dead process left there is replaced at once; no moment has no socket or a wrong mode.
UniqueFd listen_unix(const std::filesystem::path& path, mode_t mode,
                     std::optional<gid_t> group = std::nullopt);

// True if something accepts connections there.
bool answers_unix(const std::filesystem::path& path);

}  // namespace wso
