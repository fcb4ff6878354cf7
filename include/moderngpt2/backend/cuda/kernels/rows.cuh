#pragma once

#include "moderngpt2/backend/cuda/device.cuh"
#include "moderngpt2/backend/cuda/kernels/packs.cuh"
#include "moderngpt2/backend/cuda/kernels/segments.cuh"
#include "moderngpt2/backend/cuda/launch.hpp"
#include "moderngpt2/backend/cuda/runtime.hpp"
#include "moderngpt2/core/abi.hpp"
#include "moderngpt2/core/dtype.hpp"
#include "moderngpt2/core/view.hpp"

// Kernels of this file and the structs that launch them: argument values, views of GPU memory, and launch(stream),
// which queues the kernels.
namespace moderngpt2::cuda::inline MODERNGPT2_CUDA_ABI {

/// out[i] (n,C) = x[index[i]].
template <class T>
struct GatherRows {
  Rows<T> out;
  Rows<const T> x;
  const int* index;  ///< (n)

  void launch(cudaStream_t stream) const;
};

/// cache[i,pasts[i]] = x[i], for cache (B,capacity,C) and x (B,C).
template <class T>
struct AppendRows {
  Rows<T> cache;  ///< (B capacity, C)
  Rows<const T> x;
  const int* pasts;  ///< (B)

  void launch(cudaStream_t stream) const;
};

/// dx[index] += dout (n,C), in the order of the rows, rounded to T once.
template <class T>
struct ScatterRowsAdd {
  Rows<T> dx;
  Rows<const T> dout;
  SegmentSort sort;  ///< sorts rows by index

  void launch(cudaStream_t stream) const;
};

#ifdef MODERNGPT2_CUDA_KERNELS

namespace detail {

template <class T, int N>
__global__ void __launch_bounds__(256) gather_rows_kernel(const GatherRows<T> a) {
  const int r = int(blockIdx.x);
  const T* from = a.x.row(a.index[r]);
  T* to = a.out.row(r);
  for (int column = int(threadIdx.x) * N; column < a.out.width; column += int(blockDim.x) * N)
    store_pack(to + column, load_pack<N>(from + column));
}

template <class T, int N>
__global__ void __launch_bounds__(256) append_rows_kernel(const AppendRows<T> a, int capacity) {
  const int i = int(blockIdx.x);
  const T* from = a.x.row(i);
  T* to = a.cache.row(i * capacity + a.pasts[i]);
  for (int column = int(threadIdx.x) * N; column < a.x.width; column += int(blockDim.x) * N)
    store_pack(to + column, load_pack<N>(from + column));
}

}  // namespace detail

template <class T>
void GatherRows<T>::launch(cudaStream_t stream) const {
  detail::dispatch_pack<T>(detail::pack_aligned(out) && detail::pack_aligned(x), [&](auto n) {
    constexpr int N = decltype(n)::value;
    cuda::launch(stream, detail::gather_rows_kernel<T, N>, unsigned(out.count), detail::row_threads(out.width, N), 0,
                 *this);
  });
}

template <class T>
void AppendRows<T>::launch(cudaStream_t stream) const {
  detail::dispatch_pack<T>(detail::pack_aligned(cache) && detail::pack_aligned(x), [&](auto n) {
    constexpr int N = decltype(n)::value;
    cuda::launch(stream, detail::append_rows_kernel<T, N>, unsigned(x.count), detail::row_threads(x.width, N), 0, *this,
                 cache.count / x.count);
  });
}

template <class T>
void ScatterRowsAdd<T>::launch(cudaStream_t stream) const {
  add_segments(stream, sort, dx, dout, 1.0f, DropoutSite(), 1);
}

MODERNGPT2_CUDA_INSTANTIATE(GatherRows);
MODERNGPT2_CUDA_INSTANTIATE(AppendRows);
MODERNGPT2_CUDA_INSTANTIATE(ScatterRowsAdd);

#endif  // MODERNGPT2_CUDA_KERNELS

}  // namespace moderngpt2::cuda::inline MODERNGPT2_CUDA_ABI
