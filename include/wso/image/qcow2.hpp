// qcow2 disks. Made in-process, as starting qemu-img takes longer than all else in a launch.
#pragma once

#include <cstdint>
#include <filesystem>

#include <wso/base/file.hpp>
#include <wso/base/unique_fd.hpp>

namespace wso::image {

inline constexpr std::uint64_t min_disk_bytes = 1024 * 1024;
inline constexpr std::uint64_t max_disk_bytes = 64ULL * 1024 * 1024 * 1024 * 1024;

// Makes the empty file an empty qcow2 image (version 3, 64 KiB clusters, no backing file) of this
// virtual size. Sizes that are no multiple of 512 are rounded up. The path is for error messages.
void write_empty_qcow2(int fd, std::uint64_t size_bytes, const std::filesystem::path& path);

// Opens an image to boot from for reading; a symlink to it is followed. A missing, unreadable,
// empty or non-regular file is a clear error.
UniqueFd open_iso(const std::filesystem::path& path);

}  // namespace wso::image
