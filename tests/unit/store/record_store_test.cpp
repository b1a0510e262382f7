// Records as they should be, and a directory in which a crash or somebody else has left things.
#include <csignal>
#include <functional>

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <wso/base/error.hpp>
#include <wso/base/unique_fd.hpp>
#include <wso/store/record_store.hpp>

#include "../base/scratch.hpp"

namespace wso::store {
namespace {

namespace fs = std::filesystem;
using test::contents_of;
using test::failure_of_call;
using test::mode_of;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::UnorderedElementsAre;

std::vector<std::string> names_of(const LoadedRecords& loaded) {
  std::vector<std::string> names;
  for (const auto& record : loaded.records) names.push_back(record.name);
  return names;
}

class RecordStoreTest : public testing::Test {
 protected:
  std::vector<std::string> files() const {
    std::vector<std::string> names;
    for (const auto& entry : fs::directory_iterator(dir_.root()))
      names.push_back(entry.path().filename());
    return names;
  }

  // A file that is no record: named as damaged and left alone, while others are loaded.
  void expect_damaged(const std::string& name, const std::string& problem) const {
    store_.write("good", {{"n", 1}});
    const auto loaded = store_.load();
    EXPECT_THAT(names_of(loaded), ElementsAre("good"));
    ASSERT_EQ(loaded.damaged.size(), 1U);
    EXPECT_EQ(loaded.damaged[0].path, dir_ / name);
    EXPECT_THAT(loaded.damaged[0].problem, HasSubstr(problem));
    EXPECT_THAT(files(), UnorderedElementsAre("good.json", name));
  }

  test::Scratch dir_;
  RecordStore store_{dir_.root()};
};

TEST_F(RecordStoreTest, MakesADirectoryThatOnlyRootReads) {
  const RecordStore store(dir_ / "a/b/domains");
  EXPECT_EQ(mode_of(dir_ / "a/b/domains"), 0700U);
  EXPECT_THAT(names_of(store.load()), IsEmpty());
  const RecordStore again(dir_ / "a/b/domains");
}

TEST_F(RecordStoreTest, RefusesAFileInPlaceOfItsDirectory) {
  const auto file = dir_.put("file", "precious");
  for (const auto& path : {file, file / "below"}) {
    const Error error = failure_of_call([&path] { const RecordStore store(path); });
    EXPECT_THAT(error.what(), HasSubstr(file.native()));
  }
  EXPECT_EQ(contents_of(file), "precious");
}

TEST_F(RecordStoreTest, LoadsWhatWasWrittenInOrderOfName) {
  const Json contents = {{"text", "a \"b\"\n\x01 é"},
                         {"number", 18446744073709551615U},
                         {"negative", -5},
                         {"list", {1, nullptr, true, 0.5}},
                         {"empty", Json::object()}};
  for (const char* name : {"web", "a", "web-2"}) store_.write(name, contents);
  const auto loaded = store_.load();
  EXPECT_THAT(names_of(loaded), ElementsAre("a", "web", "web-2"));
  for (const auto& record : loaded.records) EXPECT_EQ(record.contents, contents);
  EXPECT_THAT(loaded.damaged, IsEmpty());
}

TEST_F(RecordStoreTest, MakesOneFileThatOnlyRootReads) {
  test::with_umask(0, [this] { store_.write("web", {{"n", 1}}); });
  EXPECT_THAT(files(), ElementsAre("web.json"));
  EXPECT_EQ(mode_of(dir_ / "web.json"), 0600U);
  EXPECT_EQ(contents_of(dir_ / "web.json"), "{\"n\":1}\n");
}

TEST_F(RecordStoreTest, ReplacesARecord) {
  store_.write("web", {{"long", std::string(10'000, 'x')}});
  store_.write("web", {{"n", 2}});
  EXPECT_EQ(store_.load().records.at(0).contents, (Json{{"n", 2}}));
  EXPECT_THAT(files(), ElementsAre("web.json"));
}

TEST_F(RecordStoreTest, ErasesOneRecordOnce) {
  store_.write("web", {{"n", 1}});
  store_.write("web-2", {{"n", 2}});
  EXPECT_TRUE(store_.erase("web"));
  EXPECT_FALSE(store_.erase("web"));
  EXPECT_THAT(names_of(store_.load()), ElementsAre("web-2"));
}

TEST_F(RecordStoreTest, KeepsNamesApartThatLookLikeFileNames) {
  const std::vector<std::string> names = {"A",           "a",          "a.json",
                                          "a.json.json", "a.json.new", "a.json.new.json",
                                          "a.new",       "a..",        std::string(63, 'x')};
  for (const auto& name : names) store_.write(name, {{"name", name}});
  const auto loaded = store_.load();
  EXPECT_THAT(names_of(loaded), testing::UnorderedElementsAreArray(names));
  for (const auto& record : loaded.records)
    EXPECT_EQ(record.contents, (Json{{"name", record.name}}));
  EXPECT_TRUE(store_.erase("a"));
  EXPECT_EQ(store_.load().records.size(), names.size() - 1);
}

TEST_F(RecordStoreTest, PassesOverFilesThatAreNoRecords) {
  for (const char* name : {"README", ".json.swp", "web.json~", "web.json.bak", ".json"})
    dir_.put(name, "{}");
  EXPECT_THAT(names_of(store_.load()), IsEmpty());
  EXPECT_THAT(store_.load().damaged, IsEmpty());
  EXPECT_EQ(files().size(), 5U);
}

TEST_F(RecordStoreTest, IsNotDisturbedByWhatACrashLeftOfAWrite) {
  store_.write("web", {{"n", 1}});
  dir_.put("web.json.new", "{\"n\":");
  dir_.put("db.json.new", "{\"n\": 3}");
  EXPECT_THAT(names_of(store_.load()), ElementsAre("web"));
  EXPECT_EQ(store_.load().records.at(0).contents, (Json{{"n", 1}}));
  store_.write("web", {{"n", 2}});
  EXPECT_EQ(store_.load().records.at(0).contents, (Json{{"n", 2}}));
}

TEST_F(RecordStoreTest, RemovesAtItsNextStartWhatACrashLeftOfAWrite) {
  store_.write("web", {{"n", 1}});
  for (const char* name : {"web.json.new", "db.json.new", "other.new"}) dir_.put(name, "{");
  const RecordStore next(dir_.root());
  EXPECT_THAT(files(), UnorderedElementsAre("web.json", "other.new"));
}

TEST_F(RecordStoreTest, WritesThroughNoLink) {
  const auto victim = dir_.put("victim", "precious");
  fs::create_symlink(victim, dir_ / "web.json.new");
  fs::create_symlink(victim, dir_ / "web.json");
  store_.write("web", {{"n", 1}});
  EXPECT_EQ(contents_of(victim), "precious");
  EXPECT_FALSE(fs::is_symlink(dir_ / "web.json"));
  EXPECT_THAT(names_of(store_.load()), ElementsAre("web"));
}

TEST_F(RecordStoreTest, DamagedIsWhatIsNotJson) {
  const std::string whole = R"({"domain_name":"web","n":[1,{"a":"é"}]})";
  for (std::size_t size = 0; size < whole.size(); ++size) {
    dir_.put("web.json", whole.substr(0, size));
    expect_damaged("web.json", "not JSON");
  }
  for (const auto& text :
       {std::string("{}{}"), std::string("{'n':1}"), std::string("{\"n\":\xff}"),
        std::string("{\"n\":\"\xff\"}"), std::string("{}\0", 3), std::string(1024, '\0')}) {
    dir_.put("web.json", text);
    expect_damaged("web.json", "not JSON");
  }
}

TEST_F(RecordStoreTest, DamagedIsWhatIsNestedTooDeep) {
  dir_.put("web.json", std::string(100'000, '['));
  expect_damaged("web.json", "nested");
}

TEST_F(RecordStoreTest, DamagedIsWhatIsHuge) {
  dir_.put("web.json", "{}" + std::string(1024 * 1024, ' '));
  expect_damaged("web.json", "larger than");
  ASSERT_EQ(::truncate((dir_ / "web.json").c_str(), off_t{1} << 40), 0);
  expect_damaged("web.json", "larger than");
}

TEST_F(RecordStoreTest, DamagedIsADirectory) {
  fs::create_directory(dir_ / "web.json");
  expect_damaged("web.json", (dir_ / "web.json").native());
  const std::function<void()> changes[] = {[this] {
                                             store_.write("web", {{"n", 1}});
                                           },
                                           [this] { store_.erase("web"); }};
  for (const auto& change : changes)
    EXPECT_THAT(failure_of_call(change).what(), HasSubstr((dir_ / "web.json").native()));
  EXPECT_THAT(files(), UnorderedElementsAre("good.json", "web.json"));
}

TEST_F(RecordStoreTest, DamagedIsALinkWhereverItLeads) {
  const test::Scratch elsewhere;
  const auto record = elsewhere.put("record", "{}");
  for (const auto& target : {record, dir_ / "good.json", dir_ / "nothing", dir_ / "web.json"}) {
    fs::create_symlink(target, dir_ / "web.json");
    expect_damaged("web.json", (dir_ / "web.json").native());
    fs::remove(dir_ / "web.json");
  }
}

TEST_F(RecordStoreTest, SaysWhichDirectoryHasGone) {
  const RecordStore store(dir_ / "domains");
  fs::remove(dir_ / "domains");
  const std::function<void()> uses[] = {[&store] { (void)store.load(); },
                                        [&store] {
                                          store.write("web", {{"n", 1}});
                                        },
                                        [&store] { store.erase("web"); }};
  for (const auto& use : uses)
    EXPECT_THAT(failure_of_call(use).what(), HasSubstr((dir_ / "domains").native()));
}

// Writes one record after another until it is killed; a byte into the pipe for each.
[[noreturn]] void write_for_ever(const RecordStore& store, int written) {
  for (char fill = 'a';; fill = fill == 'a' ? 'b' : 'a') {
    store.write("web", {{"text", std::string(64 * 1024, fill)}});
    if (::write(written, &fill, 1) != 1) ::_exit(1);
  }
}

TEST_F(RecordStoreTest, AKilledWriterLeavesTheOldRecordOrTheNew) {
  for (int n_written = 1; n_written <= 20; ++n_written) {
    int ends[2];
    ASSERT_EQ(::pipe2(ends, O_CLOEXEC), 0);
    const UniqueFd read_end(ends[0]);
    UniqueFd write_end(ends[1]);
    const pid_t writer = ::fork();
    if (writer == 0) write_for_ever(store_, write_end.get());
    write_end.reset();
    char fill = 0;
    for (int i = 0; i < n_written; ++i) ASSERT_EQ(::read(read_end.get(), &fill, 1), 1);
    ::kill(writer, SIGKILL);
    ASSERT_EQ(::waitpid(writer, nullptr, 0), writer);
    const auto loaded = store_.load();
    EXPECT_THAT(loaded.damaged, IsEmpty());
    ASSERT_EQ(loaded.records.size(), 1U);
    EXPECT_EQ(text_field(loaded.records[0].contents, "text").size(), 64U * 1024);
  }
}

}  // namespace
}  // namespace wso::store
