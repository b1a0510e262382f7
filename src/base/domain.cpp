#include <array>
#include <utility>

#include <wso/domain.hpp>

namespace wso {
namespace {

constexpr std::array<std::pair<RunState, std::string_view>, 5> names{{
    {RunState::launching, "launching"},
    {RunState::running, "running"},
    {RunState::paused, "paused"},
    {RunState::stopped, "stopped"},
    {RunState::destroying, "destroying"},
}};

}  // namespace

std::string_view name(RunState state) {
  for (const auto& [run_state, word] : names)
    if (run_state == state) return word;
  return "stopped";
}

std::optional<RunState> parse_run_state(std::string_view word) {
  for (const auto& [run_state, text] : names)
    if (text == word) return run_state;
  return std::nullopt;
}

}  // namespace wso
