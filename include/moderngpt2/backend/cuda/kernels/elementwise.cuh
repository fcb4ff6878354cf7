#pragma once

#include <cstdint>

#include "moderngpt2/backend/cuda/device.cuh"
#include "moderngpt2/backend/cuda/kernels/packs.cuh"
#include "moderngpt2/backend/cuda/launch.hpp"
#include "moderngpt2/core/abi.hpp"
#include "moderngpt2/core/dtype.hpp"

// Kernels of this file and the structs that launch them: argument values, views of GPU memory, and launch(stream),
// which queues the kernels.
namespace moderngpt2::cuda::inline MODERNGPT2_CUDA_ABI {

/// x (n) = value.
template <class T>
struct Fill {
  T* x;
  std::int64_t n;
  T value;

  void launch(cudaStream_t stream) const;
};

/// to (n) = from (n), rounded to nearest even.
template <class T>
struct CastFromFloat {
  T* to;
  const float* from;
  std::int64_t n;

  void launch(cudaStream_t stream) const;
};

/// to (n) = from (n).
template <class T>
struct CastToFloat {
  float* to;
  const T* from;
  std::int64_t n;

  void launch(cudaStream_t stream) const;
};

/// to (n) += from (n). Instantiated for float only.
template <class T>
struct AddTo {
  T* to;
  const T* from;
  std::int64_t n;

  void launch(cudaStream_t stream) const;
};

#ifdef MODERNGPT2_CUDA_KERNELS

// A thread handles one pack of 16 bytes.
namespace detail {

template <class T>
__global__ void __launch_bounds__(256) fill_kernel(const Fill<T> a, bool in_packs) {
  constexpr int n = pack_size<T>;
  const std::int64_t at = first_of_pack<n>(), count = a.n - at;
  if (in_packs && count >= n) {
    Pack<T, n> pack;
    for (T& x : pack.at) x = a.value;
    store_pack(a.x + at, pack);
  } else {
    for (int i = 0; i < n; ++i)
      if (i < count) a.x[at + i] = a.value;
  }
}

/// N: pack size of the shorter type.
template <int N, class To, class From>
__global__ void __launch_bounds__(256) cast_kernel(To* to, const From* from, std::int64_t n, bool in_packs) {
  const std::int64_t at = first_of_pack<N>(), count = n - at;
  if (count <= 0) return;
  float x[N];
  load_floats(x, from + at, count, in_packs);
  store_floats(to + at, x, count, in_packs);
}

template <class T>
__global__ void __launch_bounds__(256) add_kernel(const AddTo<T> a, bool in_packs) {
  constexpr int n = pack_size<T>;
  const std::int64_t at = first_of_pack<n>(), count = a.n - at;
  if (count <= 0) return;
  float x[n], y[n];
  load_floats(x, a.to + at, count, in_packs);
  load_floats(y, a.from + at, count, in_packs);
  for (int i = 0; i < n; ++i) x[i] += y[i];
  store_floats(a.to + at, x, count, in_packs);
}

}  // namespace detail

template <class T>
void Fill<T>::launch(cudaStream_t stream) const {
  const detail::Grid<pack_size<T>> grid(n);
  cuda::launch(stream, detail::fill_kernel<T>, grid.blocks, grid.threads, 0, *this, detail::pack_aligned(x, 0));
}

template <class T>
void CastFromFloat<T>::launch(cudaStream_t stream) const {
  const detail::Grid<pack_size<T>> grid(n);
  cuda::launch(stream, detail::cast_kernel<pack_size<T>, T, float>, grid.blocks, grid.threads, 0, to, from, n,
               detail::pack_aligned(to, 0) && detail::pack_aligned(from, 0));
}

template <class T>
void CastToFloat<T>::launch(cudaStream_t stream) const {
  const detail::Grid<pack_size<T>> grid(n);
  cuda::launch(stream, detail::cast_kernel<pack_size<T>, float, T>, grid.blocks, grid.threads, 0, to, from, n,
               detail::pack_aligned(to, 0) && detail::pack_aligned(from, 0));
}

template <class T>
void AddTo<T>::launch(cudaStream_t stream) const {
  const detail::Grid<pack_size<T>> grid(n);
  cuda::launch(stream, detail::add_kernel<T>, grid.blocks, grid.threads, 0, *this,
               detail::pack_aligned(to, 0) && detail::pack_aligned(from, 0));
}

MODERNGPT2_CUDA_INSTANTIATE(Fill);
MODERNGPT2_CUDA_INSTANTIATE(CastFromFloat);
MODERNGPT2_CUDA_INSTANTIATE(CastToFloat);
MODERNGPT2_CUDA_INSTANTIATE_FLOAT(AddTo);

#endif  // MODERNGPT2_CUDA_KERNELS

}  // namespace moderngpt2::cuda::inline MODERNGPT2_CUDA_ABI
