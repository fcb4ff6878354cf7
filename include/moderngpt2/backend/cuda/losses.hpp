#pragma once

#include <cstdint>

#include "moderngpt2/backend/cuda/backend.hpp"
#include "moderngpt2/backend/cuda/kernels/losses.hpp"
#include "moderngpt2/core/view.hpp"
#ifdef MODERNGPT2_CUDA_SIMULATED
#include "moderngpt2/backend/cuda/kernels/losses.cuh"
#endif

// Labels and targets are in GPU memory. A function that returns a loss waits for the GPU.
namespace moderngpt2::cuda {

namespace detail {

/// Scratch for one sum and its parts.
inline LossSum loss_scratch(Backend& b, int parts) {
  double* const total = b.scratch<double>(1 + (std::int64_t(parts) + 1) / 2);
  return {.parts = reinterpret_cast<float*>(total + 1), .total = total, .add = false};
}
inline double wait_for(Backend& b, const LossSum& sum) {
  double total = 0;
  copy(b.stream(), &total, static_cast<const double*>(sum.total), 1);
  b.synchronize();
  return total;
}

inline double element_loss(Backend& b, ElementLossKind kind, Rows<float> dlogits, Rows<const float> logits,
                           const float* targets, float scale) {
  const std::int64_t n = std::int64_t(logits.count) * logits.width;
  if (n == 0) return 0;
  const LossSum sum = loss_scratch(b, ElementLoss<float>::parts(n));
  ElementLoss<float>{.kind = kind, .d = dlogits, .logits = logits, .targets = targets, .scale = scale, .sum = sum}
      .launch(b.stream());
  return wait_for(b, sum);
}

}  // namespace detail

/// Queues the losses of rows of logits, softcap first, and their gradient to `d`, which may be the same memory: what a
/// classifier does with a chunk of its logits. sum.parts: (rows); nothing waits.
template <class T>
void cross_entropy_rows(Backend& b, Rows<T> d, Rows<const float> logits, const int* labels, float softcap, float scale,
                        const LossSum& sum) {
  if (logits.count == 0) return;
  CrossEntropy<T>{.d = d, .logits = logits, .labels = labels, .softcap = softcap, .scale = scale, .sum = sum}.launch(
      b.stream());
}

inline double cross_entropy(Backend& b, Rows<float> dlogits, Rows<const float> logits, const int* labels, float scale) {
  if (logits.count == 0) return 0;
  const LossSum sum = detail::loss_scratch(b, logits.count);
  cross_entropy_rows(b, dlogits, logits, labels, 0, scale, sum);
  return detail::wait_for(b, sum);
}

inline double mean_squared_error(Backend& b, Rows<float> dlogits, Rows<const float> logits, const float* targets,
                                 float scale) {
  return detail::element_loss(b, ElementLossKind::squared, dlogits, logits, targets, scale);
}

inline double binary_cross_entropy(Backend& b, Rows<float> dlogits, Rows<const float> logits, const float* targets,
                                   float scale) {
  return detail::element_loss(b, ElementLossKind::binary, dlogits, logits, targets, scale);
}

}  // namespace moderngpt2::cuda
