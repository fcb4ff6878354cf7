#pragma once

#include <bit>
#include <cstdint>

#include "moderngpt2/core/error.hpp"

namespace moderngpt2 {

/// Random order in which an epoch visits `size` items. Any element is computed in O(1) time and memory from (seed,
/// epoch, index), so that a run can resume anywhere and with any number of ranks.
///
/// A Feistel network of 8 rounds permutes the smallest set of 4^k numbers that contains [0, size). Results outside the
/// range are permuted again until they are inside (cycle walking: Black and Rogaway, "Ciphers with Arbitrary Finite
/// Domains", 2002), which takes fewer than 4 iterations on average. Threads: several may read at once.
class EpochOrder {
 public:
  /// Throws Error if `size` is negative.
  EpochOrder(std::uint64_t seed, std::int64_t size) : seed_(seed), size_(size) {
    if (size < 0) throw Error("an order of {} items: the size must not be negative", size);
    const int bits = size > 1 ? static_cast<int>(std::bit_width(static_cast<std::uint64_t>(size - 1))) : 1;
    half_bits_ = (bits + 1) / 2;
    mask_ = (std::uint64_t{1} << half_bits_) - 1;
  }

  std::int64_t size() const { return size_; }

  /// Item at position `index` of `epoch`; 0 <= index < size().
  std::int64_t at(std::int64_t epoch, std::int64_t index) const {
    if (index < 0 || index >= size_) throw Error("position {} is outside an order of {} items", index, size_);
    const std::uint64_t key = mix(seed_ ^ mix(static_cast<std::uint64_t>(epoch) + golden));
    std::uint64_t item = static_cast<std::uint64_t>(index);
    do item = permute(key, item);
    while (item >= static_cast<std::uint64_t>(size_));
    return static_cast<std::int64_t>(item);
  }

 private:
  static constexpr std::uint64_t golden = 0x9e3779b97f4a7c15;

  // Finalizer of SplitMix64 (Steele, Lea and Flood, 2014).
  static std::uint64_t mix(std::uint64_t x) {
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9;
    x = (x ^ (x >> 27)) * 0x94d049bb133111eb;
    return x ^ (x >> 31);
  }

  std::uint64_t permute(std::uint64_t key, std::uint64_t x) const {
    std::uint64_t left = x >> half_bits_, right = x & mask_;
    for (int round = 0; round < 8; ++round) {
      key += golden;
      const std::uint64_t next = left ^ (mix(key ^ mix(right + golden)) & mask_);
      left = right;
      right = next;
    }
    return left << half_bits_ | right;
  }

  std::uint64_t seed_;
  std::int64_t size_;
  int half_bits_ = 1;
  std::uint64_t mask_ = 1;
};

}  // namespace moderngpt2
