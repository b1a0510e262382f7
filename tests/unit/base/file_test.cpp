// Files in a directory where anybody may have put anything.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <wso/base/file.hpp>

#include "scratch.hpp"

namespace wso {
namespace {

namespace fs = std::filesystem;
using test::contents_of;
using test::failure_of_call;
using test::mode_of;
using test::with_umask;
using testing::HasSubstr;

class FileTest : public testing::Test {
 protected:
  test::Scratch dir_;
};

TEST_F(FileTest, CreateMakesAnEmptyFileOfItsOwner) {
  const auto fd = create_new_file(dir_ / "disk", 0600);
  EXPECT_TRUE(fd);
  EXPECT_EQ(mode_of(dir_ / "disk"), 0600U);
  EXPECT_EQ(fs::file_size(dir_ / "disk"), 0U);
}

TEST_F(FileTest, CreateSetsTheModeWhateverTheUmask) {
  for (const mode_t mask : {0U, 022U, 077U, 0777U}) {
    const auto path = dir_ / fmt::format("script-{}", mask);
    with_umask(mask, [&path] { return create_new_file(path, 0755); });
    EXPECT_EQ(mode_of(path), 0755U) << "umask " << mask;
  }
}

TEST_F(FileTest, CreateDoesNotLeakTheFileToChildren) {
  const auto fd = create_new_file(dir_ / "disk", 0600);
  EXPECT_NE(::fcntl(fd.get(), F_GETFD) & FD_CLOEXEC, 0);
}

TEST_F(FileTest, CreateNeverTakesWhatIsThere) {
  const auto file = dir_.put("file", "precious");
  fs::create_directory(dir_ / "directory");
  ASSERT_EQ(::mkfifo((dir_ / "fifo").c_str(), 0600), 0);
  for (const char* name : {"file", "directory", "fifo"}) {
    const auto error = failure_of_call([&] { create_new_file(dir_ / name, 0600); });
    EXPECT_EQ(error.code(), Errc::already_exists) << name;
    EXPECT_THAT(error.what(), HasSubstr((dir_ / name).native()));
  }
  EXPECT_EQ(contents_of(file), "precious");
}

TEST_F(FileTest, CreateNeverFollowsALink) {
  const auto victim = dir_.put("victim", "precious");
  fs::create_symlink(victim, dir_ / "link");
  fs::create_symlink(dir_ / "nowhere", dir_ / "dangling");
  for (const char* name : {"link", "dangling"}) {
    const auto error = failure_of_call([&] { create_new_file(dir_ / name, 0600); });
    EXPECT_EQ(error.code(), Errc::already_exists) << name;
  }
  EXPECT_EQ(contents_of(victim), "precious");
  EXPECT_FALSE(fs::exists(dir_ / "nowhere"));
}

TEST_F(FileTest, CreateInADirectoryThatIsNotThere) {
  EXPECT_EQ(failure_of_call([&] { create_new_file(dir_ / "no/disk", 0600); }).code(),
            Errc::not_found);
}

TEST_F(FileTest, WriteAllWritesAll) {
  const std::string much(3'000'000, 'x');
  const auto fd = create_new_file(dir_ / "disk", 0600);
  write_all(fd.get(), much, dir_ / "disk");
  EXPECT_EQ(contents_of(dir_ / "disk"), much);
}

TEST_F(FileTest, WriteAllToAFullDiskNamesTheFile) {
  const UniqueFd full(::open("/dev/full", O_WRONLY | O_CLOEXEC));
  const auto error = failure_of_call([&] { write_all(full.get(), "x", "/var/disk"); });
  EXPECT_EQ(error.code(), Errc::no_space);
  EXPECT_STREQ(error.what(), "write /var/disk: No space left on device");
}

TEST_F(FileTest, OpenTakesARegularFile) {
  const auto path = dir_.put("iso", "bytes");
  const auto fd = open_regular_file(path, O_RDONLY);
  EXPECT_TRUE(fd);
  EXPECT_NE(::fcntl(fd.get(), F_GETFD) & FD_CLOEXEC, 0);
}

TEST_F(FileTest, OpenRefusesAllElse) {
  fs::create_symlink(dir_.put("iso", "bytes"), dir_ / "link");
  fs::create_symlink(dir_ / "link", dir_ / "loop");
  fs::create_directory(dir_ / "directory");
  ASSERT_EQ(::mkfifo((dir_ / "fifo").c_str(), 0600), 0);
  const std::vector<fs::path> others{dir_ / "link", dir_ / "loop", dir_ / "directory",
                                     dir_ / "fifo", "/dev/null"};
  for (const auto& path : others) {
    const auto error = failure_of_call([&] { open_regular_file(path, O_RDONLY); });
    EXPECT_EQ(error.code(), Errc::invalid_argument) << path;
    EXPECT_THAT(error.what(), HasSubstr(path.native()));
  }
  EXPECT_EQ(failure_of_call([&] { open_regular_file(dir_ / "nothing", O_RDONLY); }).code(),
            Errc::not_found);
}

TEST_F(FileTest, ReadGivesAllUpToTheLimit) {
  const auto path = dir_.put("record", "12345");
  EXPECT_EQ(read_file(path, 5), "12345");
  EXPECT_EQ(read_file(dir_.put("empty", ""), 0), "");
  EXPECT_EQ(read_file(dir_ / "nothing", 5), std::nullopt);
  // Nobody writes to it: a blocking open would wait for ever.
  ASSERT_EQ(::mkfifo((dir_ / "fifo").c_str(), 0600), 0);
  EXPECT_EQ(read_file(dir_ / "fifo", 5), "");
}

TEST_F(FileTest, ReadRefusesWhatIsLargerThanTheLimitOrNoFile) {
  EXPECT_EQ(failure_of_call([&] { read_file(dir_.put("record", "123456"), 5); }).code(), Errc::io);
  fs::create_symlink(dir_ / "record", dir_ / "link");
  EXPECT_THROW(read_file(dir_ / "link", 5), Error);
  EXPECT_THROW(read_file(dir_.root(), 5), Error);
}

TEST_F(FileTest, ReplaceMakesAndReplaces) {
  replace_file(dir_ / "record", "old", 0600);
  EXPECT_EQ(contents_of(dir_ / "record"), "old");
  with_umask(077, [this] { replace_file(dir_ / "record", "new and longer", 0644); });
  EXPECT_EQ(contents_of(dir_ / "record"), "new and longer");
  EXPECT_EQ(mode_of(dir_ / "record"), 0644U);
}

TEST_F(FileTest, ReplaceLeavesNothingBesideTheFile) {
  replace_file(dir_ / "record", "x", 0600);
  EXPECT_EQ(std::distance(fs::directory_iterator(dir_.root()), {}), 1);
}

TEST_F(FileTest, ReplaceGetsPastWhatACrashLeft) {
  dir_.put("record.new", "half a rec");
  replace_file(dir_ / "record", "whole", 0600);
  EXPECT_EQ(contents_of(dir_ / "record"), "whole");
  EXPECT_FALSE(fs::exists(dir_ / "record.new"));
}

TEST_F(FileTest, ReplaceDoesNotWriteThroughALink) {
  const auto victim = dir_.put("victim", "precious");
  fs::create_symlink(victim, dir_ / "record.new");
  fs::create_symlink(victim, dir_ / "record");
  replace_file(dir_ / "record", "mine", 0600);
  EXPECT_EQ(contents_of(victim), "precious");
  EXPECT_TRUE(fs::is_regular_file(fs::symlink_status(dir_ / "record")));
}

TEST_F(FileTest, ReplaceThatFailsLeavesTheOldAndNoTemporary) {
  fs::create_directory(dir_ / "record");
  EXPECT_THROW(replace_file(dir_ / "record", "x", 0600), Error);
  EXPECT_TRUE(fs::is_directory(dir_ / "record"));
  EXPECT_FALSE(fs::exists(dir_ / "record.new"));
}

TEST_F(FileTest, ReplaceInADirectoryThatIsNotThere) {
  EXPECT_EQ(failure_of_call([&] { replace_file(dir_ / "no/record", "x", 0600); }).code(),
            Errc::not_found);
}

TEST_F(FileTest, RemoveTellsWhetherItWasThere) {
  dir_.put("record", "x");
  EXPECT_TRUE(remove_file_durably(dir_ / "record"));
  EXPECT_FALSE(remove_file_durably(dir_ / "record"));
}

TEST_F(FileTest, RemoveRefusesADirectory) {
  fs::create_directory(dir_ / "directory");
  EXPECT_THROW(remove_file_durably(dir_ / "directory"), Error);
}

TEST_F(FileTest, RemoveIfSameRemovesOurs) {
  const auto identity = identity_of(create_new_file(dir_ / "disk", 0600).get());
  EXPECT_EQ(remove_if_same(dir_ / "disk", identity), Removal::removed);
  EXPECT_EQ(remove_if_same(dir_ / "disk", identity), Removal::absent);
}

TEST_F(FileTest, RemoveIfSameLeavesAnothersFile) {
  // Open, so that its inode is not used again.
  const auto ours = create_new_file(dir_ / "disk", 0600);
  fs::remove(dir_ / "disk");
  dir_.put("disk", "precious");
  EXPECT_EQ(remove_if_same(dir_ / "disk", identity_of(ours.get())), Removal::foreign);
  EXPECT_EQ(contents_of(dir_ / "disk"), "precious");
}

TEST_F(FileTest, RemoveIfSameLeavesALinkToOurs) {
  const auto ours = create_new_file(dir_ / "moved", 0600);
  fs::create_symlink(dir_ / "moved", dir_ / "disk");
  EXPECT_EQ(remove_if_same(dir_ / "disk", identity_of(ours.get())), Removal::foreign);
  EXPECT_TRUE(fs::is_symlink(dir_ / "disk"));
}

TEST_F(FileTest, AnUnnamedFileIsSeenOnlyOnceLinked) {
  const auto fd = with_umask(077, [this] { return create_unnamed_file(dir_.root(), 0644); });
  write_all(fd.get(), "whole", dir_ / "disk");
  EXPECT_TRUE(fs::is_empty(dir_.root()));
  link_file(fd.get(), dir_ / "disk");
  EXPECT_EQ(contents_of(dir_ / "disk"), "whole");
  EXPECT_EQ(mode_of(dir_ / "disk"), 0644U);
}

TEST_F(FileTest, LinkNeverTakesWhatIsThere) {
  const auto victim = dir_.put("file", "precious");
  fs::create_symlink(victim, dir_ / "link");
  fs::create_symlink(dir_ / "nowhere", dir_ / "dangling");
  const auto fd = create_unnamed_file(dir_.root(), 0600);
  for (const char* name : {"file", "link", "dangling"}) {
    const auto error = failure_of_call([&] { link_file(fd.get(), dir_ / name); });
    EXPECT_EQ(error.code(), Errc::already_exists) << name;
  }
  EXPECT_EQ(contents_of(victim), "precious");
  EXPECT_FALSE(fs::exists(dir_ / "nowhere"));
}

TEST_F(FileTest, AnUnnamedFileNeedsADirectory) {
  EXPECT_THROW(create_unnamed_file(dir_ / "no", 0600), Error);
  EXPECT_THROW(create_unnamed_file(dir_.put("file", "x"), 0600), Error);
}

TEST_F(FileTest, MakeDirectoriesMakesThoseAboveAndIsContentWithThem) {
  make_directories(dir_ / "a/b/c", 0700);
  EXPECT_EQ(mode_of(dir_ / "a/b/c"), 0700U);
  EXPECT_NO_THROW(make_directories(dir_ / "a/b/c", 0700));
}

TEST_F(FileTest, MakeDirectoriesRefusesAFileInTheWay) {
  dir_.put("a", "x");
  EXPECT_THROW(make_directories(dir_ / "a", 0700), Error);
  EXPECT_THROW(make_directories(dir_ / "a/b", 0700), Error);
}

TEST_F(FileTest, GuardRemovesUnlessKept) {
  dir_.put("lost", "x");
  dir_.put("kept", "x");
  {
    const NewFileGuard lost(dir_ / "lost");
    NewFileGuard kept(dir_ / "kept");
    kept.keep();
  }
  EXPECT_FALSE(fs::exists(dir_ / "lost"));
  EXPECT_TRUE(fs::exists(dir_ / "kept"));
}

}  // namespace
}  // namespace wso
