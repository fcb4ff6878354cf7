#pragma once

#include <cmath>
#include <concepts>
#include <utility>

#include "moderngpt2/backend/calls.hpp"
#include "moderngpt2/backend/host.hpp"
#include "moderngpt2/config/config.hpp"
#include "moderngpt2/core/memory.hpp"

namespace moderngpt2 {

/// cos and sin of every position up to n_positions (Su et al. 2021, half-split layout), computed in double. Linear
/// scaling divides the position by its factor (Chen et al. 2023).
template <class R, class Memory = AlignedBuffer>
class RotaryPositions {
 public:
  RotaryPositions() = default;
  explicit RotaryPositions(const Config& c) requires std::same_as<Memory, AlignedBuffer> : half_(c.head_dim / 2),
                                                                                           positions_(c.n_positions) {
    const std::int64_t n = std::int64_t(half_) * positions_;
    cosine_ = FlatBuffer<R>(n);
    sine_ = FlatBuffer<R>(n);
    for (int i = 0; i < half_; ++i) {
      const double frequency = std::pow(c.rope_theta, -2.0 * i / c.head_dim) / c.rope_scaling_factor;
      for (int p = 0; p < positions_; ++p) {
        cosine_[std::int64_t(p) * half_ + i] = R(std::cos(p * frequency));
        sine_[std::int64_t(p) * half_ + i] = R(std::sin(p * frequency));
      }
    }
  }

  /// The same where the backend reads them.
  template <class B>
  RotaryPositions(B& backend, RotaryPositions<R> here)
      : cosine_(move_to_backend(backend, std::move(here.cosine_))),
        sine_(move_to_backend(backend, std::move(here.sine_))),
        half_(here.half_),
        positions_(here.positions_) {}

  RotaryTable<R> table() const { return {cosine_.data(), sine_.data(), half_, positions_}; }
  /// Bytes that the tables of a config take.
  static constexpr std::size_t bytes(const Config& c) {
    return std::size_t(c.head_dim / 2) * std::size_t(c.n_positions) * 2 * sizeof(R);
  }

 private:
  template <class, class>
  friend class RotaryPositions;

  FlatBuffer<R, Memory> cosine_, sine_;
  int half_ = 0;
  int positions_ = 0;
};

}  // namespace moderngpt2
