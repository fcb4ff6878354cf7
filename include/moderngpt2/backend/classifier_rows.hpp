#pragma once

#include <algorithm>
#include <cstdint>

#include "moderngpt2/core/view.hpp"

namespace moderngpt2 {

/// Tokens of `rows` whose fp32 logits over a vocabulary exist at once: about `bytes` of them.
constexpr int classifier_rows(std::int64_t bytes, int rows, int vocab) {
  const std::int64_t fitting = bytes / (std::int64_t(vocab) * 4) / 16 * 16;
  return int(std::clamp<std::int64_t>(fitting, 16, std::max(rows, 16)));
}

/// Elements from the begin of a row of logits to the next on a GPU, whose matrix units want rows at multiples of 16
/// bytes in their elements and in shorter ones: a vocabulary of 50257 would have them at 4.
constexpr int logits_stride(int vocab) { return (vocab + 7) / 8 * 8; }

/// The rows of fp32 logits as rows for their gradients, in elements of type T that begin where each row does.
template <class T>
Rows<T> in_place(Rows<float> logits) {
  return {reinterpret_cast<T*>(logits.data), logits.count, logits.width,
          logits.stride * int(sizeof(float) / sizeof(T))};
}

}  // namespace moderngpt2
