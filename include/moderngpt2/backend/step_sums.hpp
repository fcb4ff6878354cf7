#pragma once

#include <concepts>
#include <cstdint>

#include "moderngpt2/backend/calls.hpp"
#include "moderngpt2/backend/host.hpp"

namespace moderngpt2 {

/// What a training step adds up: the losses of its passes, and the squares of its gradients' elements.
struct StepTotals {
  double loss = 0, squares = 0;
};

/// Adds them up on the host. A backend that computes later than the host goes on has a StepSums of its own, with the
/// same functions and with decide(): its sums stay where they are, and decide on the update there.
class HostStepSums {
 public:
  template <class B>
  explicit HostStepSums(B&) {}

  /// To be called before the first pass of a step.
  template <class B>
  void begin(B&) {
    totals_ = {};
  }
  template <class B, class Loss>
  void add(B&, const Loss& loss) {
    totals_.loss += double(loss);
  }
  /// Adds the squares of x (n).
  template <class B, class T>
  void add_squares(B& b, const T* x, std::int64_t n) {
    totals_.squares += double(sum_of_squares(b, x, n));
  }
  /// Waits for all that was queued.
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

template <class B>
using step_sums_of = typename detail::NamedOr<HostStepSums, detail::NamedStepSums, B>::type;

/// Whether the sums of a backend B decide on an update where they are: decide(b, rule) queues that and returns where
/// the decision will be.
template <class B>
concept DecidesUpdates = requires(step_sums_of<B>& sums, B& b, const UpdateRule& rule) {
  { sums.decide(b, rule) } -> std::same_as<const UpdateDecision*>;
};

}  // namespace moderngpt2
