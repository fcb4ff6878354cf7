#pragma once

#include <cstdint>

#include "moderngpt2/backend/cuda/device.cuh"
#include "moderngpt2/core/abi.hpp"
#include "moderngpt2/core/dropout.hpp"

namespace moderngpt2::cuda::inline MODERNGPT2_CUDA_ABI {

/// Parameters of core/dropout.hpp's Dropout as a kernel argument. A threshold of 0 disables dropout.
struct DropoutSite {
  std::uint32_t threshold = 0;
  float kept = 1;  ///< factor of kept elements: 1 / (1 - rate)
  std::uint64_t key = 0;
  std::int64_t first_sequence = 0;

  DropoutSite() = default;
  explicit DropoutSite(const Dropout& d) {
    if (!d.active()) return;
    threshold = d.threshold(), kept = float(d.scale()), key = d.key, first_sequence = d.first_sequence;
  }
  constexpr bool active() const { return threshold != 0; }
};

#ifdef MODERNGPT2_CUDA_KERNELS

// The dropout mask is that of core/dropout.hpp's dropout_factors: element i of a row uses word (i / 8) % 4 of Philox
// block 8 (i / 32) + i % 8. A lane with N adjacent elements needs one word of each of N blocks, so lanes compute whole
// blocks and exchange words.

/// Philox counter and key of one row, without the block number.
struct DropoutRow {
  std::uint64_t key;
  std::uint32_t threshold, position, head, sequence;
  float kept;

  MODERNGPT2_DEVICE DropoutRow(const DropoutSite& site, std::int64_t sequence_, std::uint32_t head_,
                               std::uint32_t position_)
      : threshold(site.threshold), position(position_), head(head_), kept(site.kept) {
    const std::int64_t global = site.first_sequence + sequence_;
    key = site.key ^ mix64(std::uint64_t(global) >> 32);
    sequence = std::uint32_t(global);
  }

  struct Words {
    std::uint32_t at[4];
    /// Word i, by selection: indexing would move the words out of registers.
    MODERNGPT2_DEVICE std::uint32_t pick(int i) const {
      return i < 2 ? (i == 0 ? at[0] : at[1]) : i == 2 ? at[2] : at[3];
    }
  };
  MODERNGPT2_DEVICE Words block(std::uint32_t number) const {
    const auto words = Philox::block({number, position, head, sequence}, key);
    return {{words[0], words[1], words[2], words[3]}};
  }
  /// Whether element i is kept.
  MODERNGPT2_DEVICE bool keeps(int i) const {
    return block(std::uint32_t(i / 32 * 8 + i % 8)).pick(i / 8 % 4) >= threshold;
  }
};

/// Bit j is set if element first + j is kept, for the N (1, 4 or 8) elements of this lane. For N > 1 all lanes of the
/// warp must call it with consecutive groups of N elements, lane 0 at a multiple of 32.
template <int N>
MODERNGPT2_DEVICE std::uint32_t kept_bits(const DropoutRow& row, int first) {
  static_assert(N == 1 || N == 4 || N == 8);
  const int group = first / 32 * 8;
  if constexpr (N == 1) return row.keeps(first);
  std::uint32_t bits = 0;
  if constexpr (N == 8) {
    // 4 lanes share 8 blocks: each computes two, and needs one word of each of the 8.
    const int lane = first / 8 % 4;
    const auto even = row.block(std::uint32_t(group + 2 * lane)), odd = row.block(std::uint32_t(group + 2 * lane + 1));
    for (int turn = 0; turn < 4; ++turn) {
      const int other = lane ^ turn;
      const std::uint32_t w0 = __shfl_xor_sync(full_mask, even.pick(other), turn);
      const std::uint32_t w1 = __shfl_xor_sync(full_mask, odd.pick(other), turn);
      bits |= std::uint32_t(w0 >= row.threshold) << (2 * other) | std::uint32_t(w1 >= row.threshold) << (2 * other + 1);
    }
  } else if constexpr (N == 4) {
    // 8 lanes share 8 blocks: each computes one, and needs word lane / 2 of blocks 4 (lane % 2) to 4 (lane % 2) + 3.
    const int lane = first / 4 % 8;
    const auto mine = row.block(std::uint32_t(group + lane));
    for (int turn = 0; turn < 4; ++turn) {
      const int wanted = lane / 2 ^ turn;
      const int from = int(threadIdx.x) % 32 / 8 * 8 + lane % 2 * 4 + wanted;
      const std::uint32_t w = __shfl_sync(full_mask, mine.pick(lane % 4 ^ turn), from);
      bits |= std::uint32_t(w >= row.threshold) << wanted;
    }
  }
  return bits;
}

#endif  // MODERNGPT2_CUDA_KERNELS

}  // namespace moderngpt2::cuda::inline MODERNGPT2_CUDA_ABI
