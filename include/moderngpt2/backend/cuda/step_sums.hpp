#pragma once

#include <cstdint>

#include "moderngpt2/backend/cuda/backend.hpp"
#include "moderngpt2/backend/cuda/kernels/optimizer.hpp"
#include "moderngpt2/backend/step_sums.hpp"
#ifdef MODERNGPT2_CUDA_SIMULATED
#include "moderngpt2/backend/cuda/kernels/optimizer.cuh"
#endif

namespace moderngpt2::cuda {

/// The sums of a step and the decision on its update, in GPU memory: nothing waits for them but read(). They are the
/// numbers that the host would have.
class StepSums {
 public:
  explicit StepSums(Backend&) : here_(1), there_(1) {}

  void begin(Backend& b) { fill_bytes(b.stream(), there_.data(), 0, sizeof(Numbers)); }
  void add(Backend& b, const Loss& loss) {
    if (loss.count() == 0) return;
    AddLosses<double> call{.to = &there_.data()->totals.loss, .count = loss.count(), .values = {}, .factors = {}};
    for (int i = 0; i < loss.count(); ++i) call.values[i] = loss.term(i).at, call.factors[i] = loss.term(i).factor;
    call.launch(b.stream());
  }
  template <class T>
  void add_squares(Backend& b, const T* x, std::int64_t n) {
    if (n == 0) return;
    SumOfSquares<T>{.x = x,
                    .n = n,
                    .partial = b.scratch<double>(square_parts<T>(n)),
                    .sum = &there_.data()->totals.squares,
                    .add = true}
        .launch(b.stream());
  }
  const UpdateDecision* decide(Backend& b, const UpdateRule& rule) {
    Numbers& n = *there_.data();
    DecideUpdate<double>{.loss = &n.totals.loss, .squares = &n.totals.squares, .rule = rule, .decision = &n.decision}
        .launch(b.stream());
    return &n.decision;
  }
  StepTotals read(Backend& b) const {
    copy(b.stream(), here_.data(), static_cast<const StepTotals*>(&there_.data()->totals), 1);
    b.synchronize();
    return *here_.data();
  }

 private:
  struct Numbers {
    StepTotals totals;
    UpdateDecision decision;
  };

  PinnedArray<StepTotals> here_;
  DeviceArray<Numbers> there_;
};

}  // namespace moderngpt2::cuda
