#pragma once

#include <concepts>
#include <cstdint>

#include "moderngpt2/backend/calls.hpp"
#include "moderngpt2/backend/host.hpp"

namespace moderngpt2 {

/// Sums of a training step: losses of its passes, and squares of all elements of its gradients.
struct StepTotals {
  double loss = 0, squares = 0;
};

/// Sums of a step on the host. An asynchronous backend has a StepSums of its own, with the same functions and decide():
/// its sums stay in device memory, where they decide on the update. Threads: one at a time.
class HostStepSums {
 public:
  template <class B>
  explicit HostStepSums(B&) {}

  /// Call before the first pass of a step.
  template <class B>
  void begin(B&) {
    totals_ = {};
  }
  template <class B, class Loss>
  void add(B&, const Loss& loss) {
    totals_.loss += double(loss);
  }
  /// Adds the squares of x (n elements).
  template <class B, class T>
  void add_squares(B& b, const T* x, std::int64_t n) {
    totals_.squares += double(sum_of_squares(b, x, n));
  }
  /// Returns the sums; waits for all queued operations.
  template <class B>
  StepTotals read(B&) const {
    return totals_;
  }

 private:
  StepTotals totals_;
};

namespace detail {
template <class B>
using NamedStepSums = typename B::StepSums;
}  // namespace detail

/// StepSums of a backend, or HostStepSums.
template <class B>
using step_sums_of = typename detail::NamedOr<HostStepSums, detail::NamedStepSums, B>::type;

/// Backend whose sums decide on the update in device memory: decide(b, rule) queues the decision and returns its
/// address.
template <class B>
concept DecidesUpdates = requires(step_sums_of<B>& sums, B& b, const UpdateRule& rule) {
  { sums.decide(b, rule) } -> std::same_as<const UpdateDecision*>;
};

}  // namespace moderngpt2
