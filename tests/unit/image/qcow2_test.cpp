// The images that we write, as QEMU's own tools see them.
#include <cstdint>
#include <limits>
#include <string>

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <wso/base/json.hpp>
#include <wso/image/qcow2.hpp>

#include "command.hpp"
#include "scratch.hpp"

namespace wso::image {
namespace {

namespace fs = std::filesystem;
using test::contents_of;
using test::output_of;
using test::Scratch;

constexpr std::uint64_t mib = 1024 * 1024;
constexpr std::uint64_t gib = 1024 * mib;
constexpr std::uint64_t tib = 1024 * gib;

void make_disk(const fs::path& path, std::uint64_t size_bytes) {
  const UniqueFd fd = create_new_file(path, 0600);
  write_empty_qcow2(fd.get(), size_bytes, path);
}

Json qemu_img(const std::string& verb, const fs::path& path) {
  return Json::parse(
      output_of("qemu-img " + verb + " -f qcow2 --output=json " + path.native() + " 2>/dev/null"));
}

void expect_consistent(const fs::path& path) {
  const Json report = qemu_img("check", path);
  EXPECT_EQ(report.at("check-errors"), 0) << report;
  EXPECT_FALSE(report.contains("corruptions")) << report;
  EXPECT_FALSE(report.contains("leaks")) << report;
}

class Qcow2Test : public testing::TestWithParam<std::uint64_t> {
 protected:
  Scratch scratch_;
  fs::path disk_ = scratch_ / "disk.qcow2";
};

TEST_P(Qcow2Test, IsConsistentEmptyAndSparse) {
  make_disk(disk_, GetParam());
  expect_consistent(disk_);
  const Json info = qemu_img("info", disk_);
  EXPECT_EQ(info.at("virtual-size"), GetParam());
  EXPECT_EQ(info.at("cluster-size"), 65536);
  const Json extents = qemu_img("map", disk_);
  ASSERT_EQ(extents.size(), 1U) << extents;
  EXPECT_EQ(extents.at(0).at("length"), GetParam());
  EXPECT_EQ(extents.at(0).at("data"), false);
  struct stat status {};
  ASSERT_EQ(::stat(disk_.c_str(), &status), 0);
  EXPECT_LE(status.st_blocks * 512, 65536);
}

TEST_P(Qcow2Test, TakesWritesAtBothEnds) {
  make_disk(disk_, GetParam());
  const std::string last = std::to_string(GetParam() - 4096);
  const std::string image = " -f qcow2 " + disk_.native();
  output_of("qemu-io -c 'write -P 0xa5 0 128k' -c 'write -P 0x5a " + last + " 4k'" + image);
  expect_consistent(disk_);
  const std::string read =
      output_of("qemu-io -c 'read -P 0xa5 0 128k' -c 'read -P 0x5a " + last + " 4k'" + image);
  EXPECT_EQ(read.find("failed"), std::string::npos) << read;
}

// qemu-img adds a table of feature names and one more header field; all else must be the same.
TEST_P(Qcow2Test, IsWhatQemuImgMakes) {
  make_disk(disk_, GetParam());
  const fs::path theirs = scratch_ / "theirs.qcow2";
  output_of("qemu-img create -f qcow2 " + theirs.native() + " " + std::to_string(GetParam()));
  const std::string ours = contents_of(disk_);
  const std::string expected = contents_of(theirs);
  ASSERT_EQ(ours.size(), expected.size());
  EXPECT_EQ(ours.substr(0, 100), expected.substr(0, 100));
  EXPECT_EQ(ours.substr(100, 4), std::string("\0\0\0\x68", 4));
  EXPECT_TRUE(ours.substr(65536) == expected.substr(65536)) << "the tables differ";
  Json our_info = qemu_img("info", disk_);
  Json their_info = qemu_img("info", theirs);
  for (const auto* own : {"filename", "actual-size"}) {
    our_info.erase(own);
    their_info.erase(own);
  }
  EXPECT_EQ(our_info, their_info);
}

INSTANTIATE_TEST_SUITE_P(Sizes, Qcow2Test,
                         testing::Values(mib, 512 * mib, 512 * mib + 4096, 10 * gib, 2 * tib,
                                         64 * tib));

TEST(Qcow2SizeTest, IsRoundedUpToSectors) {
  const Scratch scratch;
  for (const std::uint64_t size : {mib + 1, mib + 511, mib + 512}) {
    const fs::path path = scratch / (std::to_string(size) + ".qcow2");
    make_disk(path, size);
    EXPECT_EQ(qemu_img("info", path).at("virtual-size"), mib + 512) << size;
  }
}

TEST(Qcow2SizeTest, OutsideItsBoundsIsRefusedAndWritesNothing) {
  const Scratch scratch;
  const fs::path path = scratch.put("disk.qcow2", "");
  const UniqueFd fd = open_regular_file(path, O_RDWR);
  for (const std::uint64_t size : {std::uint64_t{0}, std::uint64_t{1}, mib - 1, 64 * tib + 1,
                                   std::numeric_limits<std::uint64_t>::max()}) {
    const Error error = test::failure_of_call([&] { write_empty_qcow2(fd.get(), size, path); });
    EXPECT_EQ(error.code(), Errc::invalid_argument) << size;
    EXPECT_NE(std::string(error.what()).find(path.native()), std::string::npos) << error.what();
  }
  EXPECT_EQ(fs::file_size(path), 0U);
}

TEST(Qcow2FailureTest, OfADescriptorThatCannotBeWrittenNamesThePath) {
  const Scratch scratch;
  const fs::path path = scratch.put("disk.qcow2", "");
  const UniqueFd read_only = open_regular_file(path, O_RDONLY);
  for (const int fd : {-1, read_only.get()}) {
    const Error error = test::failure_of_call([&] { write_empty_qcow2(fd, mib, path); });
    EXPECT_EQ(error.code(), Errc::io);
    EXPECT_NE(std::string(error.what()).find(path.native()), std::string::npos) << error.what();
  }
}

// A file system of its own, which only this process sees.
class SmallFileSystem {
 public:
  explicit SmallFileSystem(const fs::path& path) : path_(path) {
    if (::unshare(CLONE_NEWNS) != 0 ||
        ::mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0 ||
        ::mount("tmpfs", path_.c_str(), "tmpfs", 0, "size=64k") != 0)
      throw_errno("mount a small file system");
  }
  SmallFileSystem(const SmallFileSystem&) = delete;
  SmallFileSystem& operator=(const SmallFileSystem&) = delete;
  ~SmallFileSystem() { ::umount2(path_.c_str(), MNT_DETACH); }

  // Leaves room for this many pages.
  void fill(std::uint64_t free_pages) const {
    struct statvfs status {};
    if (::statvfs(path_.c_str(), &status) != 0) throw_errno("statvfs");
    const UniqueFd fd = create_new_file(path_ / "filler", 0600);
    write_all(fd.get(), std::string((status.f_bavail - free_pages) * status.f_bsize, 'x'), path_);
  }

 private:
  fs::path path_;
};

// With room for 0, 1 or 2 pages each of the three writes fails in turn.
TEST(Qcow2FailureTest, OfAFullDiskNamesThePathAndLeavesNoFile) {
  for (const std::uint64_t free_pages : {0, 1, 2}) {
    const Scratch scratch;
    const SmallFileSystem file_system(scratch.root());
    file_system.fill(free_pages);
    const fs::path path = scratch / "disk.qcow2";
    const Error error = test::failure_of_call([&] {
      const UniqueFd fd = create_unnamed_file(scratch.root(), 0600);
      write_empty_qcow2(fd.get(), 10 * gib, path);
      link_file(fd.get(), path);
    });
    EXPECT_EQ(error.code(), Errc::no_space);
    EXPECT_EQ(error.what(), fmt::format("write {}: No space left on device", path.native()));
    EXPECT_EQ(output_of("ls -A " + scratch.root().native()), "filler\n");
  }
}

}  // namespace
}  // namespace wso::image
