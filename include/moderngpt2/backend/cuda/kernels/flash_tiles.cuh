#pragma once

#include <cstdint>

#include "moderngpt2/backend/calls.hpp"
#include "moderngpt2/backend/cuda/device.cuh"
#include "moderngpt2/backend/cuda/kernels/dropout.cuh"
#include "moderngpt2/backend/cuda/kernels/packs.cuh"
#include "moderngpt2/core/abi.hpp"
#include "moderngpt2/core/view.hpp"

#ifdef MODERNGPT2_CUDA_KERNELS

// Shared by the flash attention kernels: tiles in shared memory, products of a warp's 16 rows with them, masks.
// A warp holds scores in the layout of mma's d: with q = lane / 4 and c = 2 (lane % 4), s[j][e] is the score of row
// q + 8 (e / 2) and column 8 j + c + e % 2.
namespace moderngpt2::cuda::inline MODERNGPT2_CUDA_ABI::detail {

inline constexpr float log2_e = 1.4426950408889634f;
inline constexpr float ln_2 = 0.6931471805599453f;

/// Minimum of the maximum shared memory per block over all supported GPUs: that of sm_86, sm_89 and sm_120.
inline constexpr int min_shared_bytes = 99 * 1024;

/// Tile of rows x D 16-bit elements in shared memory. Packs of 8 channels are permuted within a row (XOR swizzle), so
/// that the 8 rows of a matrix that ldmatrix reads are in different banks.
template <class T, int rows, int D>
struct Tile {
  static constexpr int packs = D / 8;
  T at[rows][D];

  MODERNGPT2_DEVICE T* pack(int row, int p) {
    const int turn = packs % 8 == 0 ? row & 7 : row >> 1 & 3;
    return &at[row][(p ^ turn) * 8];
  }
};

/// Loads the channels of one head of the first `count` rows of `from`; the rest of the tile becomes zero. Asynchronous,
/// by cp.async, if `in_packs`.
template <int threads, class T, int rows, int D>
MODERNGPT2_DEVICE void load_tile(Tile<T, rows, D>& tile, const T* from, int stride, int count, int head_dim,
                                 bool in_packs) {
  constexpr int packs = D / 8;
  MODERNGPT2_NO_UNROLL
  for (int first = 0; first < rows * packs; first += threads) {
    const int i = first + int(threadIdx.x), row = i / packs, p = i % packs;
    if (rows * packs % threads != 0 && i >= rows * packs) break;
    const T* const at = from + std::int64_t(row) * stride + p * 8;
    if (in_packs) {
      const bool there = row < count && p * 8 < head_dim;
      cp_async16(tile.pack(row, p), there ? at : from, there ? 16 : 0);
    } else {
      Pack<T, 8> pack;
      for (int e = 0; e < 8; ++e) pack.at[e] = row < count && p * 8 + e < head_dim ? at[e] : T::from_bits(0);
      store_pack(tile.pack(row, p), pack);
    }
  }
}

/// Whether heads of `head_dim` channels in these rows can be loaded in packs of 16 bytes.
template <class T>
bool heads_in_packs(const Rows<T>& rows, int head_dim) {
  return pack_aligned(rows.data, std::int64_t(rows.stride) * 2) && head_dim % 8 == 0;
}

/// Loads rows [row0, row0 + 16) and channels [16 k, 16 k + 16) as the operand a of mma.
template <class T, int rows, int D>
MODERNGPT2_DEVICE void load_rows(std::uint32_t (&a)[4], Tile<T, rows, D>& tile, int row0, int k) {
  const int lane = int(threadIdx.x) % 32;
  ldmatrix<4>(a, tile.pack(row0 + lane % 16, 2 * k + lane / 16));
}

/// 16 rows of a tile as operand a of a warp's products over channels: kept in registers if `keep`, else read for each.
template <class T, int rows, int D, bool keep>
struct RowFragments {
  Tile<T, rows, D>& tile;
  int row0;
  std::uint32_t kept[keep ? D / 16 : 1][4];

  MODERNGPT2_DEVICE RowFragments(Tile<T, rows, D>& t, int first) : tile(t), row0(first) {}
  /// Loads the registers. Called once, after the tile has arrived.
  MODERNGPT2_DEVICE void load() {
    if constexpr (keep) {
      MODERNGPT2_UNROLL
      for (int k = 0; k < D / 16; ++k) load_rows(kept[k], tile, row0, k);
    }
  }
  MODERNGPT2_DEVICE void get(std::uint32_t (&a)[4], int k) {
    if constexpr (keep) {
      MODERNGPT2_UNROLL
      for (int i = 0; i < 4; ++i) a[i] = kept[k][i];
    } else {
      load_rows(a, tile, row0, k);
    }
  }
};

/// s (16,n) += a (16,D) tile^T (D,n).
template <class T, int rows, int D, bool keep, int n>
MODERNGPT2_DEVICE void multiply_channels(float (&s)[n / 8][4], RowFragments<T, rows, D, keep>& a, Tile<T, n, D>& tile) {
  const int lane = int(threadIdx.x) % 32;
  MODERNGPT2_UNROLL
  for (int k = 0; k < D / 16; ++k) {
    std::uint32_t left[4];
    a.get(left, k);
    MODERNGPT2_UNROLL
    for (int j = 0; j < n / 16; ++j) {
      std::uint32_t r[4];
      ldmatrix<4>(r, tile.pack(j * 16 + lane % 8 + lane / 16 * 8, 2 * k + lane / 8 % 2));
      mma<T>(s[2 * j], left, {r[0], r[1]});
      mma<T>(s[2 * j + 1], left, {r[2], r[3]});
    }
  }
}

/// sums (16,width) += p (16,n), rounded to T, times channels [first, first + width) of the tile (n,D).
template <class T, int n, int D, int parts>
MODERNGPT2_DEVICE void multiply_rows(float (&sums)[parts][4], const float (&p)[n / 8][4], Tile<T, n, D>& tile,
                                     int first = 0) {
  const int lane = int(threadIdx.x) % 32;
  MODERNGPT2_UNROLL
  for (int k = 0; k < n / 16; ++k) {
    const std::uint32_t left[4] = {pack_pair<T>(p[2 * k][0], p[2 * k][1]), pack_pair<T>(p[2 * k][2], p[2 * k][3]),
                                   pack_pair<T>(p[2 * k + 1][0], p[2 * k + 1][1]),
                                   pack_pair<T>(p[2 * k + 1][2], p[2 * k + 1][3])};
    MODERNGPT2_UNROLL
    for (int j = 0; j < parts / 2; ++j) {
      std::uint32_t r[4];
      ldmatrix<4, true>(r, tile.pack(k * 16 + lane % 16, first / 8 + 2 * j + lane / 16));
      mma<T>(sums[2 * j], left, {r[0], r[1]});
      mma<T>(sums[2 * j + 1], left, {r[2], r[3]});
    }
  }
}

/// Output rows of a warp: `to` is the first channel of a head in the first row; rows from `count` on do not exist.
template <class T>
struct RowsOut {
  T* to;
  int stride, count, head_dim;
  bool in_packs;

  /// Stores the warp's 16 rows of sums, times scale0 (rows q) and scale1 (rows q + 8), to channels from `first` on.
  /// Rows from row0 on of `tile` are the buffer; no other warp may use them any more.
  template <int rows, int D, int parts>
  MODERNGPT2_DEVICE void store(Tile<T, rows, D>& tile, int row0, const float (&sums)[parts][4], float scale0,
                               float scale1, int first = 0) const {
    const int lane = int(threadIdx.x) % 32, row = row0 + lane / 4, c = 2 * (lane % 4);
    __syncwarp();
    MODERNGPT2_UNROLL
    for (int j = 0; j < parts; ++j) {
      store_pack(tile.pack(row, j) + c,
                 Pack<T, 2>{from_float<T>(sums[j][0] * scale0), from_float<T>(sums[j][1] * scale0)});
      store_pack(tile.pack(row + 8, j) + c,
                 Pack<T, 2>{from_float<T>(sums[j][2] * scale1), from_float<T>(sums[j][3] * scale1)});
    }
    __syncwarp();
    for (int i = lane; i < 16 * parts; i += 32) {
      const int r = i / parts, channel = first + i % parts * 8;
      if (r >= count || channel >= head_dim) continue;
      T* const at = to + std::int64_t(r) * stride + channel;
      const Pack<T, 8> pack = load_pack<8>(static_cast<const T*>(tile.pack(row0 + r, i % parts)));
      if (in_packs)
        store_pack(at, pack);
      else
        for (int e = 0; e < 8 && channel + e < head_dim; ++e) at[e] = pack.at[e];
    }
  }
};

/// Dropout mask of the 8 columns first + 8 w + e that a lane holds of 32: bit 2 w + e is set if the column is kept.
/// first is a multiple of 32 plus an even number below 8. The columns use the words of two Philox blocks
/// (core/dropout.hpp).
MODERNGPT2_DEVICE std::uint32_t kept_columns(const DropoutRow& row, int first) {
  std::uint32_t bits = 0;
  MODERNGPT2_UNROLL
  for (int e = 0; e < 2; ++e) {
    const auto words = row.block(std::uint32_t(first / 32 * 8 + first % 32 + e));
    MODERNGPT2_UNROLL
    for (int w = 0; w < 4; ++w) bits |= std::uint32_t(words.at[w] >= row.threshold) << (2 * w + e);
  }
  return bits;
}

/// Shared memory of block_range for a block of `warps` warps.
template <int warps>
struct BlockRange {
  int low[warps], high[warps];
};
/// Minimum of low and maximum of high over the block, with one barrier.
template <int warps>
MODERNGPT2_DEVICE void block_range(int& low, int& high, BlockRange<warps>& memory) {
  for (int by = 16; by > 0; by /= 2) {
    const int l = __shfl_xor_sync(full_mask, low, by), h = __shfl_xor_sync(full_mask, high, by);
    low = l < low ? l : low, high = h > high ? h : high;
  }
  if (threadIdx.x % 32 == 0) memory.low[threadIdx.x / 32] = low, memory.high[threadIdx.x / 32] = high;
  __syncthreads();
  for (int w = 0; w < warps; ++w) {
    low = memory.low[w] < low ? memory.low[w] : low;
    high = memory.high[w] > high ? memory.high[w] : high;
  }
}

/// The two queries of a lane, t and t + 8 (rows q and q + 8 of its warp), and the range of keys that they see.
struct LaneQueries {
  int t, position, begin[2];  ///< position of t among the keys; first visible keys, INT_MAX for no query

  MODERNGPT2_DEVICE LaneQueries(const AttentionCall& call, int b, int first)
      : t(first + int(threadIdx.x) % 32 / 4), position(call.past + t) {
    for (int i = 0; i < 2; ++i) begin[i] = t + 8 * i < call.time ? call.begin(b, t + 8 * i) : 0x7fffffff;
  }
  MODERNGPT2_DEVICE bool sees(int i, int key) const { return key >= begin[i] && key <= position + 8 * i; }
  /// Minimum and maximum of the first visible keys over the queries of the block, with one barrier.
  template <int warps>
  MODERNGPT2_DEVICE void range(int& low, int& latest, const AttentionCall& call, BlockRange<warps>& memory) const {
    low = begin[1] < begin[0] ? begin[1] : begin[0];
    latest = t + 8 < call.time ? begin[1] : 0;
    latest = t < call.time && begin[0] > latest ? begin[0] : latest;
    block_range(low, latest, memory);
  }
};

/// Calls f(Constant<D>) with the smallest D of a kernel that is at least head_dim.
template <class F>
void dispatch_head_dim(int head_dim, F&& f) {
  if (head_dim <= 32)
    f(Constant<32>{});
  else if (head_dim <= 64)
    f(Constant<64>{});
  else if (head_dim <= 96)
    f(Constant<96>{});
  else if (head_dim <= 128)
    f(Constant<128>{});
  else
    f(Constant<256>{});
}

}  // namespace moderngpt2::cuda::inline MODERNGPT2_CUDA_ABI::detail

#endif  // MODERNGPT2_CUDA_KERNELS
