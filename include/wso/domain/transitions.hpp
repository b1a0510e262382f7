// The table of a domain's states and of what leads from one to another: the only place that decides
// what a verb may do in which state. Pure.
#pragma once

#include <array>
#include <string_view>

#include <wso/domain.hpp>

namespace wso::domain {

enum class Verb { start, stop, reboot, reset, pause, resume, destroy };

inline constexpr std::array<Verb, 7> all_verbs{Verb::start, Verb::stop,   Verb::reboot, Verb::reset,
                                               Verb::pause, Verb::resume, Verb::destroy};

std::string_view name(Verb verb);

enum class Answer {
  go,       // do it
  nothing,  // succeed and say that there was nothing to do
  busy,     // refuse: another verb is under way
  force,    // refuse unless by force, as the guest's help is needed and it cannot give any
  not_now,  // refuse: the state does not allow it
};

struct Transition {
  Answer answer = Answer::not_now;
  RunState during = RunState::stopped;  // of `go` and `force`
  RunState after = RunState::stopped;   // of `go` and `force`; a destroyed domain has none
};

// `state` is one that a record can have.
Transition transition(RunState state, Verb verb);

// The same for what answers `go`, or `force` with `force` set; throws Errc::busy or
// Errc::wrong_state for what is refused. nullopt: there is nothing to do.
std::optional<Transition> expect_transition(std::string_view domain_name, RunState state, Verb verb,
                                            bool force = false);

// Whether a domain in this state has a QEMU that is to be looked after.
bool has_qemu(RunState state);

}  // namespace wso::domain
