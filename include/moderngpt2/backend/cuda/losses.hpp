#pragma once

#include <cstdint>

#include "moderngpt2/backend/cuda/backend.hpp"
#include "moderngpt2/backend/cuda/kernels/losses.cuh"
#include "moderngpt2/backend/cuda/loss.hpp"
#include "moderngpt2/core/view.hpp"

// Labels and targets are in GPU memory. Nothing waits but who makes a number of a Loss.
namespace moderngpt2::cuda {

namespace detail {

/// One sum, and scratch for its parts.
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

/// Queues the losses of rows of logits, softcap first, and their gradient to `d`, which may be the same memory: what a
/// classifier does with a chunk of its logits. sum.parts: (rows); nothing waits.
template <class T>
void cross_entropy_rows(Backend& b, Rows<T> d, Rows<const float> logits, const int* labels, float softcap, float scale,
                        const LossSum& sum) {
  if (logits.count == 0) return;
  CrossEntropy<T>{.d = d, .logits = logits, .labels = labels, .softcap = softcap, .scale = scale, .sum = sum}.launch(
      b.stream());
}

inline Loss cross_entropy(Backend& b, Rows<float> dlogits, Rows<const float> logits, const int* labels, float scale) {
  if (logits.count == 0) return {};
  const LossSum sum = detail::next_sum(b, logits.count);
  cross_entropy_rows(b, dlogits, logits, labels, 0, scale, sum);
  return {b.stream(), sum.total};
}

inline Loss mean_squared_error(Backend& b, Rows<float> dlogits, Rows<const float> logits, const float* targets,
                               float scale) {
  return detail::element_loss(b, ElementLossKind::squared, dlogits, logits, targets, scale);
}

inline Loss binary_cross_entropy(Backend& b, Rows<float> dlogits, Rows<const float> logits, const float* targets,
                                 float scale) {
  return detail::element_loss(b, ElementLossKind::binary, dlogits, logits, targets, scale);
}

}  // namespace moderngpt2::cuda
