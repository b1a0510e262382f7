// Which files are opened as ISO images, and which are refused.
#include <cerrno>
#include <string>

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <wso/image/qcow2.hpp>

#include "scratch.hpp"

namespace wso::image {
namespace {

namespace fs = std::filesystem;

class OpenTest : public testing::Test {
 protected:
  test::Scratch scratch_;

  template <typename F>
  static void expect_refused(F open, Errc code, const std::string& mentioned) {
    const Error error = test::failure_of_call(open);
    EXPECT_EQ(error.code(), code) << error.what();
    EXPECT_NE(std::string(error.what()).find(mentioned), std::string::npos) << error.what();
  }

  void expect_iso_refused(const fs::path& path, Errc code, const std::string& mentioned) {
    expect_refused([&] { open_iso(path); }, code, mentioned);
  }

  FileIdentity identity_at(const fs::path& path) {
    return identity_of(open_regular_file(path, O_RDONLY).get());
  }
};

TEST_F(OpenTest, IsoIsOpenedForReadingOnly) {
  const fs::path path = scratch_.put("guest.iso", "iso");
  const UniqueFd fd = open_iso(path);
  char byte = 0;
  EXPECT_EQ(::read(fd.get(), &byte, 1), 1);
  EXPECT_EQ(::write(fd.get(), &byte, 1), -1);
  EXPECT_EQ(errno, EBADF);
}

TEST_F(OpenTest, IsoMayBeNamedByASymlink) {
  const fs::path path = scratch_.put("guest-1.2.iso", "iso");
  fs::create_symlink("guest-1.2.iso", scratch_ / "guest.iso");
  EXPECT_EQ(identity_of(open_iso(scratch_ / "guest.iso").get()), identity_at(path));
}

TEST_F(OpenTest, IsoThatIsMissingIsNotFound) {
  expect_iso_refused(scratch_ / "none.iso", Errc::not_found, scratch_ / "none.iso");
  expect_iso_refused(scratch_ / "no/none.iso", Errc::not_found, scratch_ / "no/none.iso");
}

TEST_F(OpenTest, IsoBehindABrokenSymlinkIsNamedAsTheUserNamedIt) {
  fs::create_symlink("nowhere.iso", scratch_ / "broken.iso");
  expect_iso_refused(scratch_ / "broken.iso", Errc::not_found, scratch_ / "broken.iso");
  fs::create_symlink("loop.iso", scratch_ / "loop.iso");
  expect_iso_refused(scratch_ / "loop.iso", Errc::io, scratch_ / "loop.iso");
}

TEST_F(OpenTest, IsoThatIsNoRegularFileIsRefusedAtOnce) {
  expect_iso_refused(scratch_.root(), Errc::invalid_argument, "not a regular file");
  expect_iso_refused("/dev/null", Errc::invalid_argument, "/dev/null");
  // Nobody has the other end open: a blocking open would wait for ever.
  const fs::path fifo = scratch_ / "fifo.iso";
  ASSERT_EQ(::mkfifo(fifo.c_str(), 0600), 0);
  expect_iso_refused(fifo, Errc::invalid_argument, fifo);
}

TEST_F(OpenTest, IsoThatIsEmptyIsRefused) {
  const fs::path path = scratch_.put("empty.iso", "");
  expect_iso_refused(path, Errc::invalid_argument, path);
}

TEST_F(OpenTest, IsoThatCannotBeReadIsAMatterOfPermission) {
  const fs::path path = scratch_.put("secret.iso", "iso");
  ASSERT_EQ(::chmod(scratch_.root().c_str(), 0755), 0);
  ASSERT_EQ(::chmod(path.c_str(), 0000), 0);
  constexpr uid_t nobody = 65534;
  ASSERT_EQ(::seteuid(nobody), 0) << "run as root";
  expect_iso_refused(path, Errc::permission, path);
  ASSERT_EQ(::seteuid(0), 0);
}

}  // namespace
}  // namespace wso::image
