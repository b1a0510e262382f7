#include <wso/base/error.hpp>
#include <wso/domain/transitions.hpp>

namespace wso::domain {
namespace {

using S = RunState;

constexpr Transition nothing{Answer::nothing, {}, {}};
constexpr Transition busy{Answer::busy, {}, {}};
constexpr Transition not_now{Answer::not_now, {}, {}};
constexpr Transition go(S during, S after) { return {Answer::go, during, after}; }
constexpr Transition forced(S during, S after) { return {Answer::force, during, after}; }

struct Row {
  S state;
  std::array<Transition, all_verbs.size()> verbs;
};

constexpr Transition starts = go(S::starting, S::running);
constexpr Transition stops = go(S::stopping, S::stopped);
constexpr Transition stays = go(S::running, S::running);
constexpr Transition destroys = go(S::destroying, S::destroying);

// clang-format off
constexpr std::array<Row, 7> table{{
    //               start    stop     reboot   reset    pause    resume   destroy
    {S::launching,  {busy,    busy,    busy,    busy,    busy,    busy,    busy}},
    {S::starting,   {busy,    busy,    busy,    busy,    busy,    busy,    busy}},
    {S::running,    {nothing, stops,   stays,   stays,   go(S::running, S::paused), nothing, destroys}},
    {S::paused,     {not_now, forced(S::stopping, S::stopped), not_now, go(S::paused, S::paused),
                     nothing, go(S::paused, S::running), destroys}},
    {S::stopping,   {busy,    busy,    busy,    busy,    busy,    busy,    busy}},
    {S::stopped,    {starts,  nothing, not_now, not_now, not_now, not_now, destroys}},
    {S::destroying, {busy,    busy,    busy,    busy,    busy,    busy,    busy}},
}};
// clang-format on

constexpr std::array<std::string_view, all_verbs.size()> verb_names{
    "start", "stop", "reboot", "reset", "pause", "resume", "destroy"};

std::string_view advice(RunState state) {
  return state == RunState::paused ? "resume it first" : "start it first";
}

}  // namespace

std::string_view name(Verb verb) { return verb_names.at(static_cast<std::size_t>(verb)); }

Transition transition(RunState state, Verb verb) {
  for (const Row& row : table)
    if (row.state == state) return row.verbs.at(static_cast<std::size_t>(verb));
  return not_now;
}

std::optional<Transition> expect_transition(std::string_view domain_name, RunState state, Verb verb,
                                            bool force) {
  const Transition found = transition(state, verb);
  switch (found.answer) {
    case Answer::go:
      return found;
    case Answer::nothing:
      return std::nullopt;
    case Answer::busy:
      throw Error(Errc::busy, "{} is {}: try again when that is done", domain_name,
                  wso::name(state));
    case Answer::force:
      if (force) return found;
      throw Error(Errc::wrong_state, "{} is {} and cannot power off by itself: {}, or use force",
                  domain_name, wso::name(state), advice(state));
    case Answer::not_now:
      break;
  }
  throw Error(Errc::wrong_state, "{} is {}: {}", domain_name, wso::name(state), advice(state));
}

bool has_qemu(RunState state) { return state == RunState::running || state == RunState::paused; }

}  // namespace wso::domain
