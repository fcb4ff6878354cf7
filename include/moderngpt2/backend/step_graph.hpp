#pragma once

#include <cstdint>

#include "moderngpt2/backend/host.hpp"

namespace moderngpt2 {

/// What tells training steps apart that queue different work.
struct StepShape {
  std::int64_t rows = 0;
  int time = 0;
  bool is_masked = false;  ///< some tokens are padding
  bool updates = false;    ///< some labels count

  bool operator==(const StepShape&) const = default;
};

/// Runs the work of a step as it comes. A backend whose work is launched piece by piece may have a StepGraph, with the
/// same function, by which a step is launched at once.
struct EagerStep {
  template <class B, class F>
  void run(B&, const StepShape&, F&& queue) {
    queue();
  }
};

namespace detail {
template <class B>
using NamedStepGraph = typename B::StepGraph;
}  // namespace detail

template <class B>
using step_graph_of = typename detail::NamedOr<EagerStep, detail::NamedStepGraph, B>::type;

/// Whether a backend has one.
template <class B>
concept CapturesSteps = requires {
  typename B::StepGraph;
};

}  // namespace moderngpt2
