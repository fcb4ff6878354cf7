#pragma once

#include <cstdint>

#include "moderngpt2/backend/cuda/device.cuh"
#include "moderngpt2/backend/cuda/kernels/dropout.cuh"
#include "moderngpt2/backend/cuda/kernels/packs.cuh"
#include "moderngpt2/backend/cuda/launch.hpp"
#include "moderngpt2/core/abi.hpp"
#include "moderngpt2/core/view.hpp"

// Sums rows by id (embedding gradients, scattered rows): rows are sorted by id, stably, and each segment of equal ids
// is added in order, so that results are bit-identical in every run.
namespace moderngpt2::cuda::inline MODERNGPT2_CUDA_ABI {

/// Stable radix sort of `count` rows by ids[row], 8 bits per pass. Pointers are to GPU memory.
struct SegmentSort {
  static constexpr int tile = 1024;  ///< rows per block

  const int* ids;  ///< (count), in [0, bound)
  int count, bound;
  int* scratch;  ///< (scratch_ints)

  int tiles() const { return (count + tile - 1) / tile; }
  int passes() const {
    int n = 1;
    for (int rest = (bound - 1) >> 8; rest > 0; rest >>= 8) ++n;
    return n;
  }
  /// Scratch ints: two orders of the rows, and counts of 256 digits for each tile.
  static std::int64_t scratch_ints(int count) {
    return 2 * std::int64_t(count) + 256 * ((std::int64_t(count) + tile - 1) / tile);
  }
  int* order(int n) const { return scratch + std::int64_t(n) * count; }
  int* digits() const { return order(2); }
  /// Rows ordered by id (count), valid after sort_segments.
  int* sorted() const { return order(passes() % 2); }
};

#ifdef MODERNGPT2_CUDA_KERNELS

namespace detail {

inline constexpr int sort_threads = 256, sort_warps = sort_threads / 32, digit_values = 256;
inline constexpr int rows_per_warp = SegmentSort::tile / sort_warps;

/// For each warp and digit, the number of rows, later the position of its next row.
struct SortMemory {
  int next[sort_warps][digit_values];
};

/// Calls f(row, digit) for the rows of this warp, 32 at a time and in order; digit is -1 beyond the end.
template <class F>
MODERNGPT2_DEVICE void each_row_of_warp(const int* ids, const int* order, int count, int shift, F&& f) {
  const int lane = int(threadIdx.x) % 32;
  const int begin = int(blockIdx.x) * SegmentSort::tile + int(threadIdx.x) / 32 * rows_per_warp;
  for (int first = begin; first < begin + rows_per_warp; first += 32) {
    const int at = first + lane;
    const int row = at < count ? (order ? order[at] : at) : 0;
    f(row, at < count ? ids[row] >> shift & 255 : -1);
  }
}

/// Fills memory.next with the digit counts of each warp.
MODERNGPT2_DEVICE void count_digits(SortMemory& memory, const int* ids, const int* order, int count, int shift) {
  for (int warp = 0; warp < sort_warps; ++warp) memory.next[warp][threadIdx.x] = 0;
  __syncthreads();
  each_row_of_warp(ids, order, count, shift, [&](int, int digit) {
    if (digit >= 0) atomicAdd(&memory.next[threadIdx.x / 32][digit], 1);
  });
  __syncthreads();
}

/// counts (256, tiles) = number of rows with each digit in each tile. order (count): the rows, or null for 0, 1, ...
template <int threads>
__global__ void __launch_bounds__(threads)
    count_digits_kernel(const int* ids, const int* order, int count, int shift, int* counts) {
  auto& memory = shared<SortMemory>();
  count_digits(memory, ids, order, count, shift);
  int sum = 0;
  for (int warp = 0; warp < sort_warps; ++warp) sum += memory.next[warp][threadIdx.x];
  counts[std::int64_t(threadIdx.x) * gridDim.x + blockIdx.x] = sum;
}

struct ScanMemory {
  int of_warp[32];
};

/// Exclusive prefix sum of x (n) in place, by one block.
template <int threads>
__global__ void __launch_bounds__(threads) exclusive_scan_kernel(int* x, int n) {
  auto& memory = shared<ScanMemory>();
  const int lane = int(threadIdx.x) % 32, warp = int(threadIdx.x) / 32;
  int before = 0;
  for (int first = 0; first < n; first += threads) {
    const int at = first + int(threadIdx.x);
    const int mine = at < n ? x[at] : 0;
    int sum = mine;
    for (int by = 1; by < 32; by *= 2) {
      const int left = __shfl_up_sync(full_mask, sum, unsigned(by));
      if (lane >= by) sum += left;
    }
    if (lane == 31) memory.of_warp[warp] = sum;
    __syncthreads();
    int total = 0, warps_before = 0;
    for (int w = 0; w < threads / 32; ++w) {
      if (w == warp) warps_before = total;
      total += memory.of_warp[w];
    }
    if (at < n) x[at] = before + warps_before + sum - mine;
    before += total;
    __syncthreads();
  }
}

/// to (count) = rows ordered by digit, stably. starts: prefix sums of the counts.
template <int threads>
__global__ void __launch_bounds__(threads)
    place_rows_kernel(const int* ids, const int* order, int count, int shift, const int* starts, int* to) {
  auto& memory = shared<SortMemory>();
  count_digits(memory, ids, order, count, shift);
  int start = starts[std::int64_t(threadIdx.x) * gridDim.x + blockIdx.x];
  for (int warp = 0; warp < sort_warps; ++warp) {
    const int n = memory.next[warp][threadIdx.x];
    memory.next[warp][threadIdx.x] = start;
    start += n;
  }
  __syncthreads();
  const int lane = int(threadIdx.x) % 32;
  auto& next = memory.next[threadIdx.x / 32];
  each_row_of_warp(ids, order, count, shift, [&](int row, int digit) {
    unsigned same = __ballot_sync(full_mask, digit >= 0);
    for (int bit = 0; bit < 8; ++bit) {
      const unsigned set = __ballot_sync(full_mask, digit >> bit & 1);
      same &= digit >> bit & 1 ? set : ~set;
    }
    const int rank = __popc(same & ((1u << lane) - 1));
    const int at = digit >= 0 ? next[digit] + rank : 0;
    __syncwarp();
    if (digit >= 0) {
      to[at] = row;
      if (rank == 0) next[digit] += __popc(same);
    }
    __syncwarp();
  });
}

/// to[id] += from[row] * mask * scale over the rows of each id, in order. The block whose position in the sorted rows
/// begins a segment sums all of it; blockIdx.y selects columns.
template <class To, class From, int N>
__global__ void __launch_bounds__(256)
    add_segments_kernel(const Rows<To> to, const Rows<const From> from, const int* ids, const int* sorted, float scale,
                        const DropoutSite dropout, int time) {
  const int begin = int(blockIdx.x), count = from.count, lane = int(threadIdx.x) % 32;
  const int id = ids[sorted[begin]];
  if (begin > 0 && ids[sorted[begin - 1]] == id) return;
  const int column = int((blockIdx.y * blockDim.x + threadIdx.x) * N);
  const bool inside = column < from.width;
  float sum[N] = {};
  if (inside) load_floats(sum, static_cast<const To*>(to.row(id)) + column);
  int rows_here = 32;
  for (int first = begin; rows_here == 32; first += 32) {
    const int at = first + lane;
    const int mine = at < count ? sorted[at] : -1;
    const unsigned others = ~__ballot_sync(full_mask, mine >= 0 && ids[mine < 0 ? 0 : mine] == id);
    rows_here = others == 0 ? 32 : __ffs(int(others)) - 1;
#ifdef __CUDACC__
#pragma unroll 4
#endif
    for (int k = 0; k < rows_here; ++k) {
      const int row = __shfl_sync(full_mask, mine, k);
      float x[N] = {};
      if (inside) load_floats(x, from.row(row) + column);
      if (dropout.active()) {
        const DropoutRow site(dropout, row / time, 0, std::uint32_t(row % time));
        const std::uint32_t kept = kept_bits<N>(site, column);
        for (int j = 0; j < N; ++j) x[j] *= kept >> j & 1 ? site.kept : 0.0f;
      }
      for (int j = 0; j < N; ++j) sum[j] += x[j] * scale;
    }
  }
  if (inside) store_floats(to.row(id) + column, sum);
}

}  // namespace detail

/// Queues the sort of the rows by id.
inline void sort_segments(cudaStream_t stream, const SegmentSort& s) {
  constexpr int threads = detail::sort_threads, scan_threads = 1024;
  const int* order = nullptr;
  for (int pass = 0; pass < s.passes(); ++pass) {
    int* const to = s.order((pass + 1) % 2);
    cuda::launch(stream, detail::count_digits_kernel<threads>, unsigned(s.tiles()), threads, 0, s.ids, order, s.count,
                 8 * pass, s.digits());
    cuda::launch(stream, detail::exclusive_scan_kernel<scan_threads>, 1, scan_threads, 0, s.digits(),
                 detail::digit_values * s.tiles());
    cuda::launch(stream, detail::place_rows_kernel<threads>, unsigned(s.tiles()), threads, 0, s.ids, order, s.count,
                 8 * pass, static_cast<const int*>(s.digits()), to);
    order = to;
  }
}

/// Queues the sort, then to[ids[row]] += from[row] * mask * scale.
template <class To, class From>
void add_segments(cudaStream_t stream, const SegmentSort& s, Rows<To> to, Rows<const From> from, float scale,
                  const DropoutSite& dropout, int time) {
  sort_segments(stream, s);
  const bool in_packs =
      detail::pack_aligned(from) && detail::pack_aligned(to.data, std::int64_t(to.stride) * std::int64_t(sizeof(To)));
  detail::dispatch_pack<From>(in_packs, [&](auto n) {
    constexpr int N = decltype(n)::value;
    const unsigned threads = detail::row_threads(from.width, N);
    const unsigned columns = (unsigned(from.width) + threads * N - 1) / (threads * N);
    cuda::launch(stream, detail::add_segments_kernel<To, From, N>, dim3(unsigned(s.count), columns), threads, 0, to,
                 from, s.ids, static_cast<const int*>(s.sorted()), scale, dropout, time);
  });
}

#endif  // MODERNGPT2_CUDA_KERNELS

}  // namespace moderngpt2::cuda::inline MODERNGPT2_CUDA_ABI
