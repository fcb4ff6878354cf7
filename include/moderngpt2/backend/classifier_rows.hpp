#pragma once

#include <algorithm>
#include <cstdint>

#include "moderngpt2/core/view.hpp"

namespace moderngpt2 {

/// Rows of logits that a classifier computes at a time: about `bytes` bytes of fp32 logits, a multiple of 16 rows.
constexpr int classifier_rows(std::int64_t bytes, int rows, int vocab) {
  const std::int64_t fitting = bytes / (std::int64_t(vocab) * 4) / 16 * 16;
  return int(std::clamp<std::int64_t>(fitting, 16, std::max(rows, 16)));
}

/// Stride in elements between rows of logits on a GPU. Matrix units require rows aligned to 16 bytes, in fp32 and in
/// 16-bit types; rows of 50257 elements would be aligned to 4.
constexpr int logits_stride(int vocab) { return (vocab + 7) / 8 * 8; }

/// Reuses rows of fp32 logits for their gradients: rows of type T with the same first bytes.
template <class T>
Rows<T> in_place(Rows<float> logits) {
  return {reinterpret_cast<T*>(logits.data), logits.count, logits.width,
          logits.stride * int(sizeof(float) / sizeof(T))};
}

}  // namespace moderngpt2
