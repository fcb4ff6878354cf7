#pragma once

#include <cstdint>

#include "moderngpt2/backend/cuda/device.cuh"
#include "moderngpt2/core/abi.hpp"

#ifdef MODERNGPT2_CUDA_KERNELS

// Reductions over a warp, a block, or the partial sums of many blocks, in a fixed order. Every lane gets the same bits.
// Blocks are one-dimensional and consist of whole warps.
namespace moderngpt2::cuda::inline MODERNGPT2_CUDA_ABI {

MODERNGPT2_DEVICE float warp_sum(float x) {
  for (int by = 16; by > 0; by /= 2) x += __shfl_xor_sync(full_mask, x, by);
  return x;
}
MODERNGPT2_DEVICE float warp_max(float x) {
  for (int by = 16; by > 0; by /= 2) x = fmaxf(x, __shfl_xor_sync(full_mask, x, by));
  return x;
}

/// Shared memory of block_sum for N numbers.
template <int N>
struct BlockSums {
  float of_warp[32][N];
};

/// Sums each of x (N) over the block, with one barrier. `memory` may be reused only after a further barrier, so
/// consecutive sums alternate between two.
template <int N>
MODERNGPT2_DEVICE void block_sum(float (&x)[N], BlockSums<N>& memory) {
  for (int n = 0; n < N; ++n) x[n] = warp_sum(x[n]);
  const int warps = int(blockDim.x) / 32, lane = int(threadIdx.x) % 32;
  if (warps == 1) return;
  if (lane == 0)
    for (int n = 0; n < N; ++n) memory.of_warp[threadIdx.x / 32][n] = x[n];
  __syncthreads();
  for (int n = 0; n < N; ++n) x[n] = warp_sum(lane < warps ? memory.of_warp[lane][n] : 0.0f);
}

namespace detail {

struct PartMemory {
  float sums[8][32];
};

/// Second half of a sum over many rows: adds partial (parts, count, C) over the parts, in a fixed order, to first (C)
/// and, if count is 2, second (C). blockIdx.y selects which. Blocks of 256 threads for 32 columns.
template <int count>
__global__ void __launch_bounds__(256)
    sum_parts_kernel(float* first, float* second, const float* partial, int parts, int width) {
  auto& memory = shared<PartMemory>();
  const int lane = int(threadIdx.x) % 32, group = int(threadIdx.x) / 32, n = int(blockIdx.y);
  const int column = int(blockIdx.x) * 32 + lane;
  float sum = 0;
  if (column < width)
    for (int part = group; part < parts; part += 8) sum += partial[(std::int64_t(part) * count + n) * width + column];
  memory.sums[group][lane] = sum;
  __syncthreads();
  if (group > 0 || column >= width) return;
  for (int g = 1; g < 8; ++g) sum += memory.sums[g][lane];
  (n == 0 ? first : second)[column] += sum;
}

}  // namespace detail

}  // namespace moderngpt2::cuda::inline MODERNGPT2_CUDA_ABI

#endif  // MODERNGPT2_CUDA_KERNELS
