// The metadata of an empty qcow2 image, after docs/interop/qcow2.txt of QEMU. Everything but these
// few bytes is a hole in the file.
#include <concepts>
#include <string>
#include <string_view>

#include <unistd.h>

#include <wso/base/error.hpp>
#include <wso/image/qcow2.hpp>

namespace wso::image {

namespace fs = std::filesystem;

namespace {

constexpr unsigned cluster_bits = 16;
constexpr std::uint64_t cluster_bytes = 1U << cluster_bits;
// One L1 entry points at one cluster of 8-byte L2 entries, each of which points at one data
// cluster.
constexpr std::uint64_t bytes_per_l1_entry = cluster_bytes / 8 * cluster_bytes;

// The header is cluster 0. The other tables follow it, each from a cluster of its own.
constexpr std::uint64_t refcount_table_offset = 1 * cluster_bytes;
constexpr std::uint64_t refcount_block_offset = 2 * cluster_bytes;
constexpr std::uint64_t l1_table_offset = 3 * cluster_bytes;

constexpr std::uint64_t divide_up(std::uint64_t value, std::uint64_t unit) {
  return (value + unit - 1) / unit;
}

constexpr std::uint64_t l1_entries(std::uint64_t size_bytes) {
  return divide_up(size_bytes, bytes_per_l1_entry);
}

constexpr std::uint64_t file_bytes(std::uint64_t size_bytes) {
  return l1_table_offset + 8 * l1_entries(size_bytes);
}

constexpr std::uint64_t metadata_clusters(std::uint64_t size_bytes) {
  return divide_up(file_bytes(size_bytes), cluster_bytes);
}

// QEMU adds refcount blocks as the file grows; until then the first one must do.
static_assert(metadata_clusters(max_disk_bytes) <= cluster_bytes / sizeof(std::uint16_t));

template <std::unsigned_integral Integer>
void append_big_endian(std::string& bytes, Integer value) {
  for (int shift = 8 * sizeof(Integer) - 8; shift >= 0; shift -= 8)
    bytes += static_cast<char>(value >> shift & 0xff);
}

std::string header(std::uint64_t size_bytes) {
  std::string bytes = "QFI\xfb";
  const auto u32 = [&bytes](std::uint32_t value) { append_big_endian(bytes, value); };
  const auto u64 = [&bytes](std::uint64_t value) { append_big_endian(bytes, value); };
  u32(3);  // version
  u64(0);  // backing file: offset of its name
  u32(0);  // backing file: length of its name
  u32(cluster_bits);
  u64(size_bytes);
  u32(0);  // encryption method
  u32(static_cast<std::uint32_t>(l1_entries(size_bytes)));
  u64(l1_table_offset);
  u64(refcount_table_offset);
  u32(1);    // clusters of the refcount table
  u32(0);    // snapshots
  u64(0);    // snapshots: offset of their table
  u64(0);    // incompatible features
  u64(0);    // compatible features
  u64(0);    // autoclear features
  u32(4);    // refcount order: 16 bits
  u32(104);  // length of this header
  return bytes;
}

std::string refcount_table() {
  std::string bytes;
  append_big_endian(bytes, refcount_block_offset);
  return bytes;
}

std::string refcount_block(std::uint64_t size_bytes) {
  std::string bytes;
  for (std::uint64_t cluster = 0; cluster < metadata_clusters(size_bytes); ++cluster)
    append_big_endian(bytes, std::uint16_t{1});
  return bytes;
}

void write_at(int fd, std::uint64_t offset, std::string_view bytes, const fs::path& path) {
  if (::lseek(fd, static_cast<off_t>(offset), SEEK_SET) < 0)
    throw_errno(fmt::format("seek in {}", path.native()));
  write_all(fd, bytes, path);
}

}  // namespace

void write_empty_qcow2(int fd, std::uint64_t size_bytes, const fs::path& path) {
  if (size_bytes < min_disk_bytes || size_bytes > max_disk_bytes)
    throw Error(Errc::invalid_argument, "{} cannot have {} bytes: choose {} (1 MiB) to {} (64 TiB)",
                path.native(), size_bytes, min_disk_bytes, max_disk_bytes);
  const std::uint64_t size = divide_up(size_bytes, 512) * 512;
  // Not synced: an image without data has nothing to lose, and the guest's first flush syncs all.
  write_at(fd, 0, header(size), path);
  write_at(fd, refcount_table_offset, refcount_table(), path);
  write_at(fd, refcount_block_offset, refcount_block(size), path);
  if (::ftruncate(fd, static_cast<off_t>(file_bytes(size))) != 0)
    throw_errno(fmt::format("write {}", path.native()));
}

}  // namespace wso::image
