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

/// The rows of fp32 logits as rows for their gradients, in elements of type T that begin where each row does.
template <class T>
Rows<T> in_place(Rows<float> logits) {
  return {reinterpret_cast<T*>(logits.data), logits.count, logits.width,
          logits.stride * int(sizeof(float) / sizeof(T))};
}

}  // namespace moderngpt2
