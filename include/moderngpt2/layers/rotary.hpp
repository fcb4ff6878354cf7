#pragma once

#include <cmath>
#include <concepts>
#include <utility>

#include "moderngpt2/backend/calls.hpp"
#include "moderngpt2/backend/host.hpp"
#include "moderngpt2/config/config.hpp"
#include "moderngpt2/core/memory.hpp"

namespace moderngpt2 {

/// Rotary position tables (RoPE, Su et al. 2021; half-split layout): cos and sin, (n_positions,D/2) each, computed in
/// double. Linear scaling divides positions by rope_scaling_factor (position interpolation, Chen et al. 2023). Threads:
/// several may read at once.
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

  /// Copies the tables to the memory of a backend.
  template <class B>
  RotaryPositions(B& backend, RotaryPositions<R> host)
      : cosine_(move_to_backend(backend, std::move(host.cosine_))),
        sine_(move_to_backend(backend, std::move(host.sine_))),
        half_(host.half_),
        positions_(host.positions_) {}

  RotaryTable<R> table() const { return {cosine_.data(), sine_.data(), half_, positions_}; }
  /// Bytes of the tables of a config.
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
