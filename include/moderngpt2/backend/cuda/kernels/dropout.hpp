#pragma once

#include <cstdint>

#include "moderngpt2/core/dropout.hpp"

namespace moderngpt2::cuda {

/// core/dropout.hpp's Dropout as a kernel takes it. Threshold 0 drops nothing.
struct DropoutSite {
  std::uint32_t threshold = 0;
  float kept = 1;  ///< factor of a kept element
  std::uint64_t key = 0;
  std::int64_t first_sequence = 0;

  DropoutSite() = default;
  explicit DropoutSite(const Dropout& d) {
    if (!d.active()) return;
    threshold = d.threshold(), kept = float(d.scale()), key = d.key, first_sequence = d.first_sequence;
  }
  constexpr bool active() const { return threshold != 0; }
};

}  // namespace moderngpt2::cuda
