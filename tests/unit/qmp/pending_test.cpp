// The table of open requests: each ends once, and no reply is believed that was not asked for.
#include <set>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <wso/qmp/pending.hpp>

namespace wso::qmp {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

class PendingTableTest : public testing::Test {
 protected:
  // A request whose answer is noted.
  std::uint64_t ask() {
    return table_.add([this](Answer answer) { answers_.push_back(std::move(answer)); });
  }

  void expect_violation(std::uint64_t id) {
    try {
      table_.complete(id, Json("forged"));
      ADD_FAILURE() << "a reply to " << id << " was believed";
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), Errc::protocol);
      EXPECT_THAT(error.what(), testing::HasSubstr(std::to_string(id)));
    }
  }

  PendingTable table_;
  std::vector<Answer> answers_;
};

TEST_F(PendingTableTest, IdsAreNeverZeroAndNeverUsedTwice) {
  std::set<std::uint64_t> seen{0};
  for (int round = 0; round < 100; ++round) {
    const auto id = ask();
    EXPECT_TRUE(seen.insert(id).second) << id;
    if (round % 2 == 0) table_.complete(id, Json());
    if (round % 3 == 0) table_.abandon(id);
  }
}

TEST_F(PendingTableTest, RepliesFindTheirRequestInAnyOrder) {
  const auto first = ask();
  const auto second = ask();
  table_.complete(second, Json("second"));
  table_.complete(first, Refusal{first, "GenericError", "first"});
  ASSERT_EQ(answers_.size(), 2U);
  EXPECT_EQ(std::get<Json>(answers_[0]), Json("second"));
  EXPECT_EQ(std::get<Refusal>(answers_[1]).description, "first");
  EXPECT_EQ(table_.size(), 0U);
}

TEST_F(PendingTableTest, AReplyToWhatWasNeverSentIsAViolation) {
  expect_violation(0);
  expect_violation(1);
  const auto id = ask();
  expect_violation(id + 1);
  expect_violation(~std::uint64_t{0});
  EXPECT_THAT(answers_, IsEmpty());
  table_.complete(id, Json());
  EXPECT_EQ(answers_.size(), 1U);
}

TEST_F(PendingTableTest, ASecondReplyIsAViolation) {
  const auto id = ask();
  table_.complete(id, Json());
  expect_violation(id);
  EXPECT_EQ(answers_.size(), 1U);
}

TEST_F(PendingTableTest, ALateReplyIsSwallowedOnce) {
  const auto id = ask();
  table_.abandon(id);
  EXPECT_EQ(table_.size(), 1U);
  table_.complete(id, Json());
  EXPECT_THAT(answers_, IsEmpty());
  EXPECT_EQ(table_.size(), 0U);
  expect_violation(id);
}

TEST_F(PendingTableTest, AbandonOfWhatIsNotOpenDoesNothing) {
  table_.abandon(0);
  table_.abandon(17);
  const auto id = ask();
  table_.complete(id, Json());
  table_.abandon(id);
  EXPECT_EQ(table_.size(), 0U);
  expect_violation(17);
  expect_violation(id);
}

TEST_F(PendingTableTest, FailAllEndsEachOnce) {
  ask();
  table_.abandon(ask());
  ask();
  table_.fail_all(Error(Errc::disconnected, "gone"));
  table_.fail_all(Error(Errc::protocol, "again"));
  ASSERT_EQ(answers_.size(), 2U);
  for (const auto& answer : answers_) {
    EXPECT_EQ(std::get<Error>(answer).code(), Errc::disconnected);
    EXPECT_STREQ(std::get<Error>(answer).what(), "gone");
  }
  EXPECT_EQ(table_.size(), 0U);
}

TEST_F(PendingTableTest, FailAllOfNoneDoesNothing) {
  table_.fail_all(Error(Errc::disconnected, "gone"));
  EXPECT_THAT(answers_, IsEmpty());
}

TEST_F(PendingTableTest, ACompletionMayAskAgain) {
  std::vector<std::uint64_t> ids;
  const auto id = table_.add([this, &ids](const Answer&) { ids.push_back(ask()); });
  table_.complete(id, Json());
  const auto other = table_.add([this, &ids](const Answer&) { ids.push_back(ask()); });
  table_.fail_all(Error(Errc::disconnected, "gone"));
  EXPECT_THAT(ids, ElementsAre(id + 1, other + 1));
}

}  // namespace
}  // namespace wso::qmp
