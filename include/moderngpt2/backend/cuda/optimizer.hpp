#pragma once

#include <cmath>
#include <cstdint>
#include <type_traits>

#include "moderngpt2/backend/calls.hpp"
#include "moderngpt2/backend/cuda/backend.hpp"
#include "moderngpt2/backend/cuda/kernels/optimizer.hpp"
#ifdef MODERNGPT2_CUDA_SIMULATED
#include "moderngpt2/backend/cuda/kernels/optimizer.cuh"
#endif

namespace moderngpt2::cuda {

template <class T>
void fill(Backend& b, T* x, std::int64_t n, std::type_identity_t<T> value) {
  if (n == 0) return;
  Fill<T>{.x = x, .n = n, .value = value}.launch(b.stream());
}

/// to = from, rounded where the type is shorter. One of them is float.
template <class To, class From>
void cast(Backend& b, To* to, const From* from, std::int64_t n) {
  static_assert(std::is_same_v<From, float> || std::is_same_v<To, float>, "casts on a GPU are from or to float");
  if (n == 0) return;
  if constexpr (std::is_same_v<From, float>)
    CastFromFloat<To>{.to = to, .from = from, .n = n}.launch(b.stream());
  else
    CastToFloat<From>{.to = to, .from = from, .n = n}.launch(b.stream());
}

/// to (n) += from
template <class T>
void add_to(Backend& b, T* to, const T* from, std::int64_t n) {
  if (n > 0) AddTo<T>{.to = to, .from = from, .n = n}.launch(b.stream());
}

/// Waits for the GPU. The same bits for the same n on any GPU.
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

/// With `rounded`, the new weights are also written there in T.
template <class T = bf16>
void adamw(Backend& b, float* weight, float* first, float* second, const float* gradient, std::int64_t n,
           const AdamWStep& s, T* rounded = nullptr) {
  if (n == 0) return;
  const double correction1 = 1 - std::pow(s.beta1, double(s.step)), correction2 = 1 - std::pow(s.beta2, double(s.step));
  AdamW<T>{.weight = weight,
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

}  // namespace moderngpt2::cuda
