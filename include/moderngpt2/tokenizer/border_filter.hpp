#pragma once

#include <algorithm>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace moderngpt2::detail {

/// The pairs of characters, by their ids, that some merge has at its inner border. May take a pair for one of them
/// that is none (about one in sixteen), never the other way round; one bit of a table that fits a core's own cache.
class BorderFilter {
 public:
  explicit BorderFilter(std::size_t pairs) {
    const std::size_t bits = std::bit_ceil(std::clamp(16 * pairs, std::size_t{1} << 12, std::size_t{1} << 23));
    shift_ = 64 - std::countr_zero(bits);
    words_.resize(bits / 64);
  }

  void insert(int left, int right) {
    const std::uint64_t at = bit(left, right);
    words_[at / 64] |= std::uint64_t{1} << (at % 64);
  }
  bool may_contain(int left, int right) const {
    const std::uint64_t at = bit(left, right);
    return words_[at / 64] >> (at % 64) & 1;
  }

 private:
  std::uint64_t bit(int left, int right) const {
    const auto l = static_cast<std::uint64_t>(left), r = static_cast<std::uint64_t>(right);
    return (l * 0x9E3779B97F4A7C15u + r * 0xD6E8FEB86659FD93u) >> shift_;
  }

  int shift_;
  std::vector<std::uint64_t> words_;
};

}  // namespace moderngpt2::detail
