#pragma once

#include <cstdint>

#include "moderngpt2/backend/cuda/device.cuh"
#include "moderngpt2/backend/cuda/kernels/dropout.cuh"
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

/// x (N,C) = wte[ids] * scale, then dropout.
template <class T>
struct EmbeddingForward {
  Rows<T> x;
  const int* ids;  ///< (N)
  const T* wte;    ///< (V,C)
  float scale;
  int time;  ///< rows per sequence
  DropoutSite dropout;

  void launch(cudaStream_t stream) const;
};

/// dwte[ids] += dx * mask * scale, in the order of the rows.
template <class T>
struct EmbeddingBackward {
  Rows<float> dwte;  ///< (V,C)
  Rows<const T> dx;  ///< (N,C)
  SegmentSort sort;  ///< sorts rows by id
  float scale;
  int time;
  DropoutSite dropout;

  void launch(cudaStream_t stream) const;
};

/// x (N,C) *= mask / (1 - rate).
template <class T>
struct DropRows {
  Rows<T> x;
  int time;
  DropoutSite dropout;

  void launch(cudaStream_t stream) const;
};

#ifdef MODERNGPT2_CUDA_KERNELS

namespace detail {

/// to = from * scale * mask for row r of `width` elements; `from` may equal `to`.
template <int N, class T>
MODERNGPT2_DEVICE void scale_and_drop(T* to, const T* from, int width, float scale, const DropoutSite& dropout, int r,
                                      int time) {
  const DropoutRow site(dropout, r / time, 0, std::uint32_t(r % time));
  const int step = int(blockDim.x) * N;
  for (int first = 0; first < width; first += step) {
    const int column = first + int(threadIdx.x) * N;
    float x[N] = {};
    if (column < width) load_floats(x, from + column);
    for (int j = 0; j < N; ++j) x[j] *= scale;
    if (dropout.active()) {
      const std::uint32_t kept = kept_bits<N>(site, column);
      for (int j = 0; j < N; ++j) x[j] = to_float(from_float<T>(x[j])) * (kept >> j & 1 ? site.kept : 0.0f);
    }
    if (column < width) store_floats(to + column, x);
  }
}

template <class T, int N>
__global__ void __launch_bounds__(256) embedding_kernel(const EmbeddingForward<T> a) {
  const int r = int(blockIdx.x);
  scale_and_drop<N>(a.x.row(r), a.wte + std::int64_t(a.ids[r]) * a.x.width, a.x.width, a.scale, a.dropout, r, a.time);
}

template <class T, int N>
__global__ void __launch_bounds__(256) drop_rows_kernel(const DropRows<T> a) {
  const int r = int(blockIdx.x);
  scale_and_drop<N>(a.x.row(r), static_cast<const T*>(a.x.row(r)), a.x.width, 1.0f, a.dropout, r, a.time);
}

}  // namespace detail

template <class T>
void EmbeddingForward<T>::launch(cudaStream_t stream) const {
  detail::dispatch_pack<T>(detail::pack_aligned(x) && detail::pack_aligned(wte, 0), [&](auto n) {
    constexpr int N = decltype(n)::value;
    cuda::launch(stream, detail::embedding_kernel<T, N>, unsigned(x.count), detail::row_threads(x.width, N), 0, *this);
  });
}

template <class T>
void EmbeddingBackward<T>::launch(cudaStream_t stream) const {
  add_segments(stream, sort, dwte, dx, scale, dropout, time);
}

template <class T>
void DropRows<T>::launch(cudaStream_t stream) const {
  detail::dispatch_pack<T>(detail::pack_aligned(x), [&](auto n) {
    constexpr int N = decltype(n)::value;
    cuda::launch(stream, detail::drop_rows_kernel<T, N>, unsigned(x.count), detail::row_threads(x.width, N), 0, *this);
  });
}

MODERNGPT2_CUDA_INSTANTIATE(EmbeddingForward);
MODERNGPT2_CUDA_INSTANTIATE(EmbeddingBackward);
MODERNGPT2_CUDA_INSTANTIATE(DropRows);

#endif  // MODERNGPT2_CUDA_KERNELS

}  // namespace moderngpt2::cuda::inline MODERNGPT2_CUDA_ABI
