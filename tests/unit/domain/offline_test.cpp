// What is said of the domains when only their records and the processes are there.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <wso/base/error.hpp>
#include <wso/domain/offline.hpp>
#include <wso/store/record_store.hpp>

#include "../../support/command.hpp"
#include "../base/scratch.hpp"
#include "fixtures.hpp"

namespace wso::domain {
namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;
using wso::test::failure_of_call;

// What stands for QEMU: this process, with the first word of its command line as the UUID.
proc::ProcessIdentity own_identity() {
  const auto line = fmt::format("cut -d ' ' -f 22 /proc/{}/stat", ::getpid());
  return {::getpid(), std::stoull(wso::test::output_of(line))};
}

std::string own_argument() {
  const std::string words = wso::test::contents_of("/proc/self/cmdline");
  return words.substr(0, words.find('\0'));
}

// Every name below the directory with what a write would change of it.
std::vector<std::string> listing(const fs::path& directory) {
  std::vector<std::string> lines;
  for (const auto& entry : fs::recursive_directory_iterator(directory))
    lines.push_back(fmt::format("{} {}", entry.path().native(),
                                entry.last_write_time().time_since_epoch().count()));
  std::sort(lines.begin(), lines.end());
  return lines;
}

class OfflineTest : public testing::Test {
 protected:
  static DomainRecord record_of(const std::string& domain_name, RunState state) {
    DomainRecord record;
    record.plan = test::plan_for(domain_name);
    record.plan.uuid = own_argument();
    record.state = state;
    record.qemu = own_identity();
    return record;
  }

  void write(const DomainRecord& record) const {
    store_.write(record.plan.spec.domain_name, to_json(record));
  }

  // The state shown of a domain of which this is the record.
  DomainState shown(const DomainRecord& record) const {
    write(record);
    const OfflineDomains domains = read_offline(dir_.root());
    EXPECT_TRUE(domains.unread.empty());
    return domains.states.at(0);
  }

  void expect_gone(const DomainRecord& record) const {
    const DomainState state = shown(record);
    EXPECT_EQ(state.state, RunState::stopped);
    EXPECT_EQ(state.pid, 0);
    EXPECT_EQ(state.reason, "QEMU has gone, and no wsod was there to see why");
  }

  wso::test::Scratch dir_;
  store::RecordStore store_{records_dir(dir_.root())};
};

TEST_F(OfflineTest, WhatRunsIsShownAsItsRecordHasIt) {
  for (const RunState state : {RunState::running, RunState::paused}) {
    const DomainRecord record = record_of("web", state);
    EXPECT_EQ(shown(record), state_of(record));
  }
}

TEST_F(OfflineTest, WhatHasGoneIsStopped) {
  for (const RunState state : {RunState::running, RunState::paused}) {
    DomainRecord never_started = record_of("web", state);
    never_started.qemu = {};
    expect_gone(never_started);
    DomainRecord later_process = record_of("web", state);
    ++later_process.qemu.start_time;
    expect_gone(later_process);
    DomainRecord other_program = record_of("web", state);
    other_program.plan.uuid = test::uuid;
    expect_gone(other_program);
  }
}

TEST_F(OfflineTest, WhatWasStoppedKeepsItsReason) {
  DomainRecord record = record_of("web", RunState::stopped);
  record.qemu = {};
  record.reason = "the guest powered off";
  EXPECT_EQ(shown(record), state_of(record));
}

TEST_F(OfflineTest, WhatIsHalfDoneStaysHalfDone) {
  for (const RunState state :
       {RunState::launching, RunState::starting, RunState::stopping, RunState::destroying}) {
    DomainRecord record = record_of("web", state);
    const DomainState alive = shown(record);
    EXPECT_EQ(alive.state, state);
    EXPECT_EQ(alive.pid, ::getpid());
    EXPECT_THAT(alive.reason, HasSubstr("no wsod is there to complete it"));
    ++record.qemu.start_time;
    EXPECT_EQ(shown(record).state, state);
    EXPECT_EQ(shown(record).pid, 0);
  }
}

TEST_F(OfflineTest, WhatCannotBeReadIsNamedAndHidesNothing) {
  write(record_of("b", RunState::paused));
  write(record_of("a", RunState::running));
  const Json good = to_json(record_of("other", RunState::running));
  Json newer = good;
  newer["version"] = 99;
  store_.write("newer", newer);
  Json wrong = good;
  wrong["uuid"] = 7;
  store_.write("wrong", wrong);
  store_.write("misnamed", good);
  const fs::path torn = dir_.put("domains/torn.json", R"({"version": 1, "domain_na)");
  const OfflineDomains domains = read_offline(dir_.root());
  ASSERT_EQ(domains.states.size(), 2U);
  EXPECT_EQ(domains.states[0].domain_name, "a");
  EXPECT_EQ(domains.states[1].domain_name, "b");
  ASSERT_EQ(domains.unread.size(), 4U);
  EXPECT_EQ(domains.unread[0].path, dir_ / "domains/misnamed.json");
  EXPECT_EQ(domains.unread[0].problem, "it is the record of other");
  EXPECT_EQ(domains.unread[1].path, dir_ / "domains/newer.json");
  EXPECT_THAT(domains.unread[1].problem, HasSubstr("version 99"));
  EXPECT_EQ(domains.unread[2].path, torn);
  EXPECT_EQ(domains.unread[3].path, dir_ / "domains/wrong.json");
  EXPECT_THAT(domains.unread[3].problem, HasSubstr("'uuid'"));
}

TEST_F(OfflineTest, WritesNothing) {
  write(record_of("web", RunState::running));
  dir_.put("domains/torn.json", "{");
  dir_.put("domains/web.json.new", "what a crash left of a write");
  const auto before = listing(dir_.root());
  read_offline(dir_.root());
  EXPECT_EQ(listing(dir_.root()), before);
  EXPECT_THROW(read_offline(dir_ / "none"), Error);
  EXPECT_FALSE(fs::exists(dir_ / "none"));
}

TEST_F(OfflineTest, SaysWhatIsInTheWayOfTheRecords) {
  const Error none = failure_of_call([this] { read_offline(dir_ / "none"); });
  EXPECT_EQ(none.code(), Errc::not_found);
  EXPECT_THAT(none.what(), HasSubstr((dir_ / "none/domains").native()));
  EXPECT_THAT(none.what(), HasSubstr("--workdir"));
  const fs::path file = dir_.put("file", "");
  EXPECT_THAT(failure_of_call([&file] { read_offline(file); }).what(), HasSubstr(file.native()));
}

TEST_F(OfflineTest, SaysThatOnlyRootMayRead) {
  write(record_of("web", RunState::running));
  ASSERT_EQ(::chmod(dir_.root().c_str(), 0755), 0);
  ASSERT_EQ(::seteuid(65534), 0);
  const Error refused = failure_of_call([this] { read_offline(dir_.root()); });
  ASSERT_EQ(::seteuid(0), 0);
  EXPECT_EQ(refused.code(), Errc::permission);
  EXPECT_THAT(refused.what(), HasSubstr("be root"));
}

}  // namespace
}  // namespace wso::domain
