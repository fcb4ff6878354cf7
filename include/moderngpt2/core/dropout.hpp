#pragma once

#include <cmath>
#include <cstdint>

#include "moderngpt2/core/random.hpp"

namespace moderngpt2 {

/// Parameters of one dropout layer at one step: rate, key, and index in the global batch of the first sequence. A
/// mask element is a pure function of (key, sequence, head, position, channel or key position).
struct Dropout {
  double rate = 0;
  std::uint64_t key = 0;
  std::int64_t first_sequence = 0;

  constexpr bool active() const { return rate > 0; }
  /// Factor of a kept element: 1 / (1 - rate).
  constexpr double scale() const { return 1 / (1 - rate); }
  /// Threshold of the 32-bit random word, rate * 2^32: an element is dropped when its word is below it.
  std::uint32_t threshold() const { return std::uint32_t(std::ldexp(rate, 32)); }
};

/// Writes the factors (0 or 1/(1-rate)) of elements [begin, begin + n) of one row. Element i of a row takes word
/// (i / 8) % 4 of Philox block 8 (i / 32) + i % 8: eight blocks are computed side by side in vector registers and
/// stored without a shuffle.
template <class R>
void dropout_factors(const Dropout& d, std::int64_t sequence, std::uint32_t head, std::uint32_t position,
                     std::int64_t begin, std::int64_t n, R* factors) {
  constexpr int lanes = 8;
  const std::int64_t global = d.first_sequence + sequence;
  const std::uint64_t key = d.key ^ mix64(std::uint64_t(global) >> 32);
  const std::uint32_t threshold = d.threshold();
  const R kept = R(d.scale());
  const std::int64_t end = begin + n;
  for (std::int64_t group = begin / 32; group * 32 < end; ++group) {
    std::uint32_t c[4][lanes];
    for (int j = 0; j < lanes; ++j) {
      c[0][j] = std::uint32_t(group * lanes + j);
      c[1][j] = position;
      c[2][j] = head;
      c[3][j] = std::uint32_t(global);
    }
    std::uint32_t k0 = std::uint32_t(key), k1 = std::uint32_t(key >> 32);
    for (int r = 0; r < Philox::rounds; ++r, k0 += Philox::weyl0, k1 += Philox::weyl1)
      for (int j = 0; j < lanes; ++j) {
        const std::uint64_t p0 = std::uint64_t(Philox::multiplier0) * c[0][j];
        const std::uint64_t p1 = std::uint64_t(Philox::multiplier1) * c[2][j];
        c[0][j] = std::uint32_t(p1 >> 32) ^ c[1][j] ^ k0;
        c[1][j] = std::uint32_t(p1);
        c[2][j] = std::uint32_t(p0 >> 32) ^ c[3][j] ^ k1;
        c[3][j] = std::uint32_t(p0);
      }
    const std::int64_t first = group * 32;
    if (first >= begin && first + 32 <= end) {
      R* out = factors + (first - begin);
      for (int w = 0; w < 4; ++w)
        for (int j = 0; j < lanes; ++j) out[w * lanes + j] = c[w][j] < threshold ? R(0) : kept;
    } else {
      for (int w = 0; w < 4; ++w)
        for (int j = 0; j < lanes; ++j) {
          const std::int64_t i = first + w * lanes + j;
          if (i >= begin && i < end) factors[i - begin] = c[w][j] < threshold ? R(0) : kept;
        }
    }
  }
}

}  // namespace moderngpt2
