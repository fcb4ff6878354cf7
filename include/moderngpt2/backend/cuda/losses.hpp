#pragma once

#include <cstdint>

#include "moderngpt2/backend/cuda/backend.hpp"
#include "moderngpt2/backend/cuda/kernels/losses.cuh"
#include "moderngpt2/backend/cuda/loss.hpp"
#include "moderngpt2/core/abi.hpp"
#include "moderngpt2/core/view.hpp"

// Losses of heads. Labels and targets are in GPU memory. All functions queue work; converting a Loss to double waits.
namespace moderngpt2::cuda::inline MODERNGPT2_CUDA_ABI {

namespace detail {

/// Destination of a loss: a slot for the total and scratch for `parts` partial sums.
inline LossSum next_sum(Backend& b, int parts) {
  return {.parts = b.scratch<float>(parts), .total = b.losses().next(), .add = false};
}

inline Loss element_loss(Backend& b, ElementLossKind kind, Rows<float> dlogits, Rows<const float> logits,
                         const float* targets, float scale) {
  const std::int64_t n = std::int64_t(logits.count) * logits.width;
  if (n == 0) return {};
  const LossSum sum = next_sum(b, ElementLoss<float>::parts(n));
  ElementLoss<float>{.kind = kind, .d = dlogits, .logits = logits, .targets = targets, .scale = scale, .sum = sum}
      .launch(b.stream());
  return {b.stream(), sum.total};
}

}  // namespace detail

/// Queues the cross-entropy of rows of logits (N,V) after the softcap with labels (N), and d (N,V) = scale * its
/// gradient to the logits before the softcap. `smoothing`: fraction of each label that is spread over all classes. d
/// may share the memory of the logits. sum.parts is scratch (N).
template <class T>
void cross_entropy_rows(Backend& b, Rows<T> d, Rows<const float> logits, const int* labels, float softcap, float scale,
                        const LossSum& sum, float smoothing = 0) {
  if (logits.count == 0) return;
  CrossEntropy<T>{.d = d,
                  .logits = logits,
                  .labels = labels,
                  .softcap = softcap,
                  .scale = scale,
                  .smoothing = smoothing,
                  .sum = sum}
      .launch(b.stream());
}

/// Returns the sum of the cross-entropies of logits (N,V) with labels (N); dlogits (N,V) = scale * gradient, or null.
inline Loss cross_entropy(Backend& b, Rows<float> dlogits, Rows<const float> logits, const int* labels, float scale,
                          float smoothing = 0) {
  if (logits.count == 0) return {};
  const LossSum sum = detail::next_sum(b, logits.count);
  cross_entropy_rows(b, dlogits, logits, labels, 0, scale, sum, smoothing);
  return {b.stream(), sum.total};
}

/// Returns the sum of (logit - target)^2 over logits and targets (N,V); dlogits (N,V) = scale * gradient, or null.
inline Loss mean_squared_error(Backend& b, Rows<float> dlogits, Rows<const float> logits, const float* targets,
                               float scale) {
  return detail::element_loss(b, ElementLossKind::squared, dlogits, logits, targets, scale);
}

/// Sum of the cross-entropies of sigmoid(logit) with targets in [0, 1], both (N,V); dlogits (N,V) = scale * gradient,
/// or null.
inline Loss binary_cross_entropy(Backend& b, Rows<float> dlogits, Rows<const float> logits, const float* targets,
                                 float scale) {
  return detail::element_loss(b, ElementLossKind::binary, dlogits, logits, targets, scale);
}

}  // namespace moderngpt2::cuda::inline MODERNGPT2_CUDA_ABI
