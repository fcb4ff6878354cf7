#pragma once

#include <cstdint>
#include <type_traits>

#include "moderngpt2/backend/cuda/backend.hpp"
#include "moderngpt2/backend/cuda/kernels/elementwise.cuh"
#include "moderngpt2/core/abi.hpp"

namespace moderngpt2::cuda::inline MODERNGPT2_CUDA_ABI {

/// Queues x (n) = value.
template <class T>
void fill(Backend& b, T* x, std::int64_t n, std::type_identity_t<T> value) {
  if (n == 0) return;
  Fill<T>{.x = x, .n = n, .value = value}.launch(b.stream());
}

/// Queues to (n) = from (n), rounded to nearest even if To is shorter. One of the types is float.
template <class To, class From>
void cast(Backend& b, To* to, const From* from, std::int64_t n) {
  static_assert(std::is_same_v<From, float> || std::is_same_v<To, float>,
                "cast on a GPU: one of the types must be float");
  if (n == 0) return;
  if constexpr (std::is_same_v<From, float>)
    CastFromFloat<To>{.to = to, .from = from, .n = n}.launch(b.stream());
  else
    CastToFloat<From>{.to = to, .from = from, .n = n}.launch(b.stream());
}

/// Queues to (n) += from (n).
template <class T>
void add_to(Backend& b, T* to, const T* from, std::int64_t n) {
  if (n > 0) AddTo<T>{.to = to, .from = from, .n = n}.launch(b.stream());
}

}  // namespace moderngpt2::cuda::inline MODERNGPT2_CUDA_ABI
