// A disk that is full or cannot be written: the error names the file, and nothing is lost.
#include <functional>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/mount.h>

#include <wso/base/error.hpp>
#include <wso/store/record_store.hpp>

#include "../base/scratch.hpp"

namespace wso::store {
namespace {

namespace fs = std::filesystem;
using testing::AllOf;
using testing::HasSubstr;

class FullDiskTest : public testing::Test {
 protected:
  // A file system of 16 pages and 8 inodes, of which the directories take two.
  void SetUp() override {
    ASSERT_EQ(::mount("tmpfs", disk_.c_str(), "tmpfs", 0, "size=64k,nr_inodes=8,mode=700"), 0);
    store_.emplace(disk_ / "domains");
    store_->write("web", old_);
  }

  void TearDown() override { EXPECT_EQ(::umount(disk_.c_str()), 0); }

  void protect(bool read_only) const {
    const int flags = read_only ? MS_REMOUNT | MS_RDONLY : MS_REMOUNT;
    ASSERT_EQ(::mount(nullptr, disk_.c_str(), nullptr, static_cast<unsigned long>(flags), nullptr),
              0);
  }

  void expect_failure(const std::function<void()>& change, Errc code,
                      const std::string& problem) const {
    const Error error = test::failure_of_call(change);
    EXPECT_THAT(error.what(),
                AllOf(HasSubstr((disk_ / "domains/web.json").native()), HasSubstr(problem)));
    EXPECT_EQ(error.code(), code);
  }

  void expect_nothing_lost() const {
    const auto loaded = store_->load();
    EXPECT_TRUE(loaded.damaged.empty());
    ASSERT_EQ(loaded.records.size(), 1U);
    EXPECT_EQ(loaded.records[0].contents, old_);
    const auto files = fs::directory_iterator(disk_ / "domains");
    EXPECT_EQ(std::distance(files, fs::directory_iterator()), 1) << "an unfinished file is left";
  }

  const Json old_ = {{"n", 1}};
  const Json huge_ = {{"text", std::string(std::size_t{128} * 1024, 'x')}};
  test::Scratch dir_;
  fs::path disk_ = dir_.root();
  std::optional<RecordStore> store_;
};

TEST_F(FullDiskTest, ARecordThatDoesNotFitLeavesTheOldOne) {
  expect_failure([this] { store_->write("web", huge_); }, Errc::no_space,
                 "No space left on device");
  expect_nothing_lost();
}

TEST_F(FullDiskTest, WithoutAFreeBlockTheOldRecordStays) {
  std::ofstream(disk_ / "filler") << std::string(std::size_t{128} * 1024, 'x');
  expect_failure(
      [this] {
        store_->write("web", {{"n", 2}});
      },
      Errc::no_space, "No space left on device");
  expect_nothing_lost();
  fs::remove(disk_ / "filler");
  store_->write("web", {{"n", 2}});
  EXPECT_EQ(store_->load().records.at(0).contents, (Json{{"n", 2}}));
}

TEST_F(FullDiskTest, WithoutAFreeInodeTheOldRecordStays) {
  for (int i = 0; i < 8; ++i) std::ofstream(disk_ / std::to_string(i));
  expect_failure(
      [this] {
        store_->write("web", {{"n", 2}});
      },
      Errc::no_space, "No space left on device");
  expect_nothing_lost();
}

TEST_F(FullDiskTest, ARecordIsErasedFromAFullDisk) {
  std::ofstream(disk_ / "filler") << std::string(std::size_t{128} * 1024, 'x');
  EXPECT_TRUE(store_->erase("web"));
  EXPECT_TRUE(store_->load().records.empty());
}

TEST_F(FullDiskTest, AReadOnlyDiskIsReadAndNotChanged) {
  protect(true);
  expect_failure([this] { store_->write("web", {{"n", 2}}); }, Errc::io, "Read-only file system");
  expect_failure([this] { store_->erase("web"); }, Errc::io, "Read-only file system");
  const RecordStore again(disk_ / "domains");
  expect_nothing_lost();
  protect(false);
}

TEST_F(FullDiskTest, ADirectoryThatCannotBeMadeIsNamed) {
  protect(true);
  const Error error = test::failure_of_call([this] { const RecordStore other(disk_ / "other"); });
  EXPECT_THAT(error.what(), HasSubstr((disk_ / "other").native()));
  protect(false);
}

}  // namespace
}  // namespace wso::store
