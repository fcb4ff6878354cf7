#pragma once

#include <cstdint>

#include "moderngpt2/backend/cuda/device.cuh"
#include "moderngpt2/backend/cuda/kernels/packs.cuh"
#include "moderngpt2/backend/cuda/kernels/reduce.cuh"
#include "moderngpt2/backend/cuda/launch.hpp"
#include "moderngpt2/backend/cuda/runtime.hpp"
#include "moderngpt2/core/abi.hpp"
#include "moderngpt2/core/dtype.hpp"
#include "moderngpt2/core/view.hpp"

// Kernels of this file and the structs that launch them: argument values, views of GPU memory, and launch(stream),
// which queues the kernels.
namespace moderngpt2::cuda::inline MODERNGPT2_CUDA_ABI {

/// Number of groups of rows that are summed separately, then in order. Depends on `rows` only, so that every GPU gets
/// the same bits.
inline int column_parts(int rows) {
  const int parts = (rows + 63) / 64;
  return parts < 256 ? parts : 256;
}

/// sums (C) += sum of the rows of x (N,C).
template <class T>
struct ColumnSum {
  float* sums;      ///< (C)
  Rows<const T> x;  ///< (N,C)
  float* partial;   ///< scratch (column_parts(N), C)

  void launch(cudaStream_t stream) const;
};

#ifdef MODERNGPT2_CUDA_KERNELS

// A block sums 32 packs of columns over one group of rows; each of its 8 warps takes every eighth row.
namespace detail {

template <int N>
struct ColumnMemory {
  float sums[8][N][32];  ///< warp, element of a pack, lane
};

template <class T>
__global__ void __launch_bounds__(256) column_sum_kernel(const ColumnSum<T> a, bool in_packs) {
  constexpr int n = pack_size<T>;
  auto& memory = shared<ColumnMemory<n>>();
  const int lane = int(threadIdx.x) % 32, warp = int(threadIdx.x) / 32, width = a.x.width;
  const int column = (int(blockIdx.x) * 32 + lane) * n, count = width - column;
  const int begin = int(std::int64_t(a.x.count) * blockIdx.y / gridDim.y);
  const int end = int(std::int64_t(a.x.count) * (blockIdx.y + 1) / gridDim.y);
  float sums[n] = {};
  if (count > 0)
    for (int r = begin + warp; r < end; r += 8) {
      float x[n];
      load_floats(x, a.x.row(r) + column, count, in_packs);
      for (int i = 0; i < n; ++i) sums[i] += x[i];
    }
  for (int i = 0; i < n; ++i) memory.sums[warp][i][lane] = sums[i];
  __syncthreads();
  if (warp > 0 || count <= 0) return;
  for (int w = 1; w < 8; ++w)
    for (int i = 0; i < n; ++i) sums[i] += memory.sums[w][i][lane];
  store_floats(a.partial + std::int64_t(blockIdx.y) * width + column, sums, count, in_packs);
}

}  // namespace detail

template <class T>
void ColumnSum<T>::launch(cudaStream_t stream) const {
  const int parts = column_parts(x.count), packs = (x.width + pack_size<T> - 1) / pack_size<T>;
  const bool in_packs = detail::pack_aligned(x) && detail::pack_aligned(partial, 0);
  cuda::launch(stream, detail::column_sum_kernel<T>, dim3(unsigned(packs + 31) / 32, unsigned(parts)), 256, 0, *this,
               in_packs);
  cuda::launch(stream, detail::sum_parts_kernel<1>, unsigned(x.width + 31) / 32, 256, 0, sums, sums, partial, parts,
               x.width);
}

MODERNGPT2_CUDA_INSTANTIATE(ColumnSum);

#endif  // MODERNGPT2_CUDA_KERNELS

}  // namespace moderngpt2::cuda::inline MODERNGPT2_CUDA_ABI
