#pragma once

#include <cstdint>

#include "moderngpt2/backend/host.hpp"

namespace moderngpt2 {

/// Properties that determine which operations a training step queues: steps of equal StepShape can share a graph.
struct StepShape {
  std::int64_t rows = 0;   ///< sequences
  int time = 0;            ///< tokens of each sequence
  bool is_masked = false;  ///< some tokens are padding
  bool updates = false;    ///< some labels are valid, so that weights are updated

  bool operator==(const StepShape&) const = default;
};

/// Runs the operations of a step one by one. A backend may have a StepGraph with the same function instead, which
/// captures the operations and launches them as one graph.
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

/// StepGraph of a backend, or EagerStep.
template <class B>
using step_graph_of = typename detail::NamedOr<EagerStep, detail::NamedStepGraph, B>::type;

/// Backend with a StepGraph.
template <class B>
concept CapturesSteps = requires {
  typename B::StepGraph;
};

}  // namespace moderngpt2
