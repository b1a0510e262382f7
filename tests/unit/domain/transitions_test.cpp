// The table of states and verbs, against the form in which people read it.
#include <fstream>
#include <sstream>

#include <gtest/gtest.h>

#include <wso/base/error.hpp>
#include <wso/domain/transitions.hpp>

namespace wso::domain {
namespace {

constexpr std::array<RunState, 7> recorded_states{
    RunState::launching, RunState::starting, RunState::running,   RunState::paused,
    RunState::stopping,  RunState::stopped,  RunState::destroying};

std::string cell(const Transition& transition) {
  switch (transition.answer) {
    case Answer::nothing:
      return "-";
    case Answer::busy:
      return "busy";
    case Answer::not_now:
      return "no";
    case Answer::go:
    case Answer::force:
      break;
  }
  const std::string how = transition.answer == Answer::force ? "force: " : "";
  if (transition.during == transition.after) return how + std::string(name(transition.after));
  return fmt::format("{}{} > {}", how, name(transition.during), name(transition.after));
}

std::string table() {
  std::string text = "| |";
  for (const Verb verb : all_verbs) text += fmt::format(" {} |", name(verb));
  text += "\n|---|---|---|---|---|---|---|---|\n";
  for (const RunState state : recorded_states) {
    text += fmt::format("| {} |", name(state));
    for (const Verb verb : all_verbs) text += fmt::format(" {} |", cell(transition(state, verb)));
    text += '\n';
  }
  return text;
}

TEST(TransitionsTest, TheMapOfTheCodeShowsThisTable) {
  std::ifstream file(WSO_SOURCE_MAP);
  std::ostringstream map;
  map << file.rdbuf();
  EXPECT_NE(map.str().find(table()), std::string::npos)
      << "src/README.md does not hold this table:\n"
      << table();
}

TEST(TransitionsTest, WhatIsUnderWayIsNeverDisturbed) {
  for (const RunState state : recorded_states) {
    const bool lasts = has_qemu(state) || state == RunState::stopped;
    for (const Verb verb : all_verbs)
      EXPECT_EQ(transition(state, verb).answer == Answer::busy, !lasts)
          << name(state) << " " << name(verb);
  }
}

TEST(TransitionsTest, EachRefusalNamesTheDomainAndItsState) {
  for (const RunState state : recorded_states)
    for (const Verb verb : all_verbs) {
      try {
        expect_transition("web", state, verb);
        const Answer answer = transition(state, verb).answer;
        EXPECT_TRUE(answer == Answer::go || answer == Answer::nothing);
      } catch (const Error& error) {
        const auto begin = fmt::format("web is {}", name(state));
        EXPECT_TRUE(std::string(error.what()).starts_with(begin)) << error.what();
      }
    }
}

TEST(TransitionsTest, ForceHelpsOnlyWhereTheTableSaysSo) {
  for (const RunState state : recorded_states)
    for (const Verb verb : all_verbs) {
      const Answer answer = transition(state, verb).answer;
      if (answer == Answer::force) {
        EXPECT_THROW(expect_transition("web", state, verb, false), Error);
        EXPECT_TRUE(expect_transition("web", state, verb, true));
      } else if (answer == Answer::busy || answer == Answer::not_now) {
        EXPECT_THROW(expect_transition("web", state, verb, true), Error);
      }
    }
}

}  // namespace
}  // namespace wso::domain
