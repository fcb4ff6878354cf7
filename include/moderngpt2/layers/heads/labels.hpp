#pragma once

#include <cstdint>

#include "moderngpt2/backend/calls.hpp"

namespace moderngpt2 {

/// Labels that count in a mean: those that are not ignored.
inline std::int64_t count_valid(const int* labels, std::int64_t n) {
  std::int64_t count = 0;
  for (std::int64_t i = 0; i < n; ++i) count += labels[i] != ignored_label;
  return count;
}

/// 1 / count, or 0 when nothing counts: a batch without valid labels has loss 0 and gradient 0.
template <class R>
R mean_factor(std::int64_t count) {
  return count > 0 ? R(1) / R(count) : R(0);
}

}  // namespace moderngpt2
