#pragma once

#include <array>
#include <cmath>
#include <cstdint>
#include <numbers>

namespace moderngpt2 {

/// Philox4x32-10, a counter-based generator (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", 2011): four
/// random words that are a pure function of counter and key. There is no sequence state, so results do not depend on
/// threads, ranks or micro-batches.
struct Philox {
  static constexpr std::uint32_t multiplier0 = 0xD2511F53, multiplier1 = 0xCD9E8D57;
  static constexpr std::uint32_t weyl0 = 0x9E3779B9, weyl1 = 0xBB67AE85;
  static constexpr int rounds = 10;

  static constexpr std::array<std::uint32_t, 4> block(std::array<std::uint32_t, 4> c, std::uint64_t key) {
    std::uint32_t k0 = std::uint32_t(key), k1 = std::uint32_t(key >> 32);
    for (int r = 0; r < rounds; ++r, k0 += weyl0, k1 += weyl1) {
      const std::uint64_t p0 = std::uint64_t(multiplier0) * c[0], p1 = std::uint64_t(multiplier1) * c[2];
      c = {std::uint32_t(p1 >> 32) ^ c[1] ^ k0, std::uint32_t(p1), std::uint32_t(p0 >> 32) ^ c[3] ^ k1,
           std::uint32_t(p0)};
    }
    return c;
  }
};

/// Finalizer of SplitMix64 (Steele et al. 2014): a bijection of 64-bit words.
constexpr std::uint64_t mix64(std::uint64_t x) {
  x += 0x9E3779B97F4A7C15;
  x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9;
  x = (x ^ (x >> 27)) * 0x94D049BB133111EB;
  return x ^ (x >> 31);
}

/// Purpose of a random number. Part of every key, so that different purposes never share numbers.
enum class RandomUse : std::uint32_t {
  init,
  embedding_dropout,
  residual_dropout,
  attention_dropout,
  head_dropout,
  sampling
};

/// Key of all random numbers with one purpose at (step, layer).
constexpr std::uint64_t random_key(std::uint64_t seed, RandomUse use, std::uint64_t step = 0, std::uint64_t layer = 0) {
  return mix64(mix64(mix64(mix64(seed) ^ std::uint64_t(use)) ^ step) ^ layer);
}

/// Double in [0, 1) with 53 random bits, from two words.
constexpr double uniform_from(std::uint32_t high, std::uint32_t low) {
  return double((std::uint64_t(high) << 32 | low) >> 11) * 0x1p-53;
}

/// Standard normal numbers 2 pair and 2 pair + 1 of a key (Box-Muller on two uniforms of 53 bits).
inline std::array<double, 2> normal_pair(std::uint64_t key, std::uint64_t pair) {
  const auto w = Philox::block({std::uint32_t(pair), std::uint32_t(pair >> 32), 0, 0}, key);
  const double radius = std::sqrt(-2.0 * std::log(1.0 - uniform_from(w[0], w[1])));
  const double angle = 2.0 * std::numbers::pi * uniform_from(w[2], w[3]);
  return {radius * std::cos(angle), radius * std::sin(angle)};
}

/// Standard normal number `index` of a key.
inline double normal_at(std::uint64_t key, std::uint64_t index) { return normal_pair(key, index / 2)[index % 2]; }

/// Uniform number in [0, 1), `index` of a key.
constexpr double uniform_at(std::uint64_t key, std::uint64_t index) {
  const auto w = Philox::block({std::uint32_t(index), std::uint32_t(index >> 32), 0, 0}, key);
  return uniform_from(w[0], w[1]);
}

}  // namespace moderngpt2
