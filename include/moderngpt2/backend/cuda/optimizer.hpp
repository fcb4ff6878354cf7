#pragma once

#include <cmath>
#include <cstdint>

#include "moderngpt2/backend/calls.hpp"
#include "moderngpt2/backend/cuda/backend.hpp"
#include "moderngpt2/backend/cuda/kernels/optimizer.cuh"
#include "moderngpt2/backend/step_sums.hpp"
#include "moderngpt2/core/abi.hpp"
#include "moderngpt2/core/dtype.hpp"

namespace moderngpt2::cuda::inline MODERNGPT2_CUDA_ABI {

/// Sum of the squares of x (n), in double. Waits for the GPU. The result depends on x and n only, not on the GPU.
template <class T>
double sum_of_squares(Backend& b, const T* x, std::int64_t n) {
  if (n == 0) return 0;
  const int parts = square_parts<T>(n);
  double* const there = b.scratch<double>(parts + 1);
  SumOfSquares<T>{.x = x, .n = n, .partial = there + 1, .sum = there, .add = false}.launch(b.stream());
  double sum = 0;
  copy(b.stream(), &sum, static_cast<const double*>(there), 1);
  b.synchronize();
  return sum;
}

/// Queues one AdamW step on n fp32 weights and their moments, all (n) in GPU memory (Loshchilov and Hutter 2019,
/// arXiv:1711.05101). With `rounded`, also writes the new weights to it (n) in T.
template <class T = bf16>
void adamw(Backend& b, float* weight, float* first, float* second, const float* gradient, std::int64_t n,
           const AdamWStep& s, T* rounded = nullptr) {
  if (n == 0) return;
  const double correction1 = 1 - std::pow(s.beta1, double(s.step)), correction2 = 1 - std::pow(s.beta2, double(s.step));
  AdamWUpdate<T>{.weight = weight,
                 .first = first,
                 .second = second,
                 .gradient = gradient,
                 .rounded = rounded,
                 .n = n,
                 .decision = s.decision,
                 .factors = {.gradient_scale = float(s.gradient_scale),
                             .beta1 = float(s.beta1),
                             .rest1 = float(1 - s.beta1),
                             .beta2 = float(s.beta2),
                             .rest2 = float(1 - s.beta2),
                             .epsilon = float(s.epsilon),
                             .rate = float(s.learning_rate / correction1),
                             .root = float(1 / std::sqrt(correction2)),
                             .keep = float(1 - s.learning_rate * s.weight_decay)}}
      .launch(b.stream());
}

/// Loss and gradient norm of a training step, summed in GPU memory, and the decision on its update. Only read() waits
/// for the GPU. The results are bit-identical to HostStepSums of backend/step_sums.hpp. Threads: one at a time.
class StepSums {
 public:
  explicit StepSums(Backend&) : host_(1), device_(1) {}

  /// Sets both sums to zero. Called before the first pass of a step.
  void begin(Backend& b) { fill_bytes(b.stream(), device_.data(), 0, sizeof(Numbers)); }
  /// Adds the loss of a pass.
  void add(Backend& b, const Loss& loss) {
    if (loss.count() == 0) return;
    AddLosses<double> call{.to = &device_.data()->totals.loss, .count = loss.count(), .values = {}, .factors = {}};
    for (int i = 0; i < loss.count(); ++i) call.values[i] = loss.term(i).at, call.factors[i] = loss.term(i).factor;
    call.launch(b.stream());
  }
  /// Adds the squares of x (n).
  template <class T>
  void add_squares(Backend& b, const T* x, std::int64_t n) {
    if (n == 0) return;
    SumOfSquares<T>{.x = x,
                    .n = n,
                    .partial = b.scratch<double>(square_parts<T>(n)),
                    .sum = &device_.data()->totals.squares,
                    .add = true}
        .launch(b.stream());
  }
  /// Queues the decision by `rule`. Returns its address in GPU memory, for AdamWStep::decision.
  const UpdateDecision* decide(Backend& b, const UpdateRule& rule) {
    Numbers& n = *device_.data();
    DecideUpdate<double>{.loss = &n.totals.loss, .squares = &n.totals.squares, .rule = rule, .decision = &n.decision}
        .launch(b.stream());
    return &n.decision;
  }
  /// Returns both sums. Waits for the GPU.
  StepTotals read(Backend& b) const {
    copy(b.stream(), host_.data(), static_cast<const StepTotals*>(&device_.data()->totals), 1);
    b.synchronize();
    return *host_.data();
  }

 private:
  struct Numbers {
    StepTotals totals;
    UpdateDecision decision;
  };

  PinnedArray<StepTotals> host_;
  DeviceArray<Numbers> device_;
};

}  // namespace moderngpt2::cuda::inline MODERNGPT2_CUDA_ABI
