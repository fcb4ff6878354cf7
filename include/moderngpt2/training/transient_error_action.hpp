#pragma once

#include <array>
#include <string_view>
#include <utility>

namespace moderngpt2 {

/// Reaction of a run to a step that gives other bits when it is computed again (StepVerifier).
enum class TransientErrorAction {
  stop,  ///< end the run
  go_on  ///< once, continue with the result that two of three computations agree on
};

/// Words of the values on a command line.
constexpr auto words_of(TransientErrorAction) {
  using Word = std::pair<std::string_view, TransientErrorAction>;
  return std::array{Word("stop", TransientErrorAction::stop), Word("continue", TransientErrorAction::go_on)};
}

}  // namespace moderngpt2
