// A domain's own file is opened again only if it is still that very file.
#include <string>

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <wso/base/file.hpp>

#include "scratch.hpp"

namespace wso {
namespace {

namespace fs = std::filesystem;

class SameFileTest : public testing::Test {
 protected:
  test::Scratch scratch_;

  void expect_refused(const fs::path& path, const FileIdentity& identity, Errc code) {
    const Error error = test::failure_of_call([&] { open_same_file(path, O_RDWR, identity); });
    EXPECT_EQ(error.code(), code) << error.what();
    EXPECT_NE(std::string(error.what()).find(path.native()), std::string::npos) << error.what();
  }

  FileIdentity identity_at(const fs::path& path) {
    return identity_of(open_regular_file(path, O_RDONLY).get());
  }
};

TEST_F(SameFileTest, DiskIsOpenedForReadingAndWriting) {
  const fs::path path = scratch_.put("disk.qcow2", "disk");
  const UniqueFd fd = open_same_file(path, O_RDWR, identity_at(path));
  EXPECT_EQ(::write(fd.get(), "DISK", 4), 4);
  EXPECT_EQ(test::contents_of(path), "DISK");
}

TEST_F(SameFileTest, DiskThatAnotherFileHasReplacedIsRefused) {
  const fs::path path = scratch_.put("disk.qcow2", "disk");
  const FileIdentity identity = identity_at(path);
  fs::rename(scratch_.put("other.qcow2", "other"), path);
  expect_refused(path, identity, Errc::permission);
  EXPECT_EQ(test::contents_of(path), "other");
}

TEST_F(SameFileTest, DiskOfAnotherOwnerIsRefused) {
  const fs::path path = scratch_.put("disk.qcow2", "disk");
  ASSERT_EQ(::chown(path.c_str(), 65534, 65534), 0) << "run as root";
  expect_refused(path, identity_at(path), Errc::permission);
}

TEST_F(SameFileTest, DiskBehindASymlinkIsRefusedEvenIfItIsTheDisk) {
  const fs::path path = scratch_.put("disk.qcow2", "disk");
  const FileIdentity identity = identity_at(path);
  fs::rename(path, scratch_ / "moved.qcow2");
  fs::create_symlink("moved.qcow2", path);
  expect_refused(path, identity, Errc::invalid_argument);
}

TEST_F(SameFileTest, DiskThatIsGoneOrNoRegularFileIsRefused) {
  const fs::path path = scratch_.put("disk.qcow2", "disk");
  const FileIdentity identity = identity_at(path);
  fs::remove(path);
  expect_refused(path, identity, Errc::not_found);
  fs::create_directory(path);
  expect_refused(path, identity, Errc::io);
}

}  // namespace
}  // namespace wso
