// UNIX stream sockets that listen under a path, and connections to them.
#pragma once

#include <filesystem>
#include <optional>

#include <sys/types.h>

#include <wso/base/unique_fd.hpp>

namespace wso {

// Throws Errc::invalid_argument for an empty path, and for one that does not fit a socket address
// (107 bytes).
void check_socket_path(const std::filesystem::path& path);

// A non-blocking listening socket under the path, with this mode and group from its first instant.
// What a dead process left there is replaced at once; no moment has no socket or a wrong mode. What
// is there and is no socket is Errc::already_exists and is left alone.
UniqueFd listen_unix(const std::filesystem::path& path, mode_t mode,
                     std::optional<gid_t> group = std::nullopt);

// A connection, blocking unless `flags` is SOCK_NONBLOCK. Empty, with the reason in errno, if
// nobody takes it.
UniqueFd connect_unix(const std::filesystem::path& path, int flags = 0);

// True if something accepts connections there.
bool answers_unix(const std::filesystem::path& path);

}  // namespace wso
