#pragma once

#include <algorithm>
#include <cstdint>

#include "moderngpt2/backend/cuda/device.cuh"
#include "moderngpt2/backend/cuda/kernels/packs.cuh"
#include "moderngpt2/backend/cuda/launch.hpp"
#include "moderngpt2/core/abi.hpp"
#include "moderngpt2/core/random.hpp"

namespace moderngpt2::cuda::inline MODERNGPT2_CUDA_ABI {

/// hash (1) += sum of mix64(position, bits) over x (n), at positions `first` and following. A change of a single
/// element always changes the hash. Integer sums do not depend on their order.
template <class T>
struct HashElements {
  const T* x;
  std::int64_t n, first;
  unsigned long long* hash;

  void launch(cudaStream_t stream) const;
};

#ifdef MODERNGPT2_CUDA_KERNELS

namespace detail {

inline constexpr int hash_threads = 256;

MODERNGPT2_DEVICE unsigned long long element_hash(std::uint32_t bits, std::int64_t position) {
  return mix64(std::uint64_t(position) << 32 | bits);
}

/// A thread handles packs of 16 bytes at a stride of the whole grid.
template <class T>
__global__ void __launch_bounds__(hash_threads) hash_kernel(const HashElements<T> a, bool in_packs) {
  static_assert(sizeof(T) == sizeof(std::uint32_t));
  constexpr int n = pack_size<T>;
  const auto* const words = reinterpret_cast<const std::uint32_t*>(a.x);
  unsigned long long sum = 0;
  for (std::int64_t at = first_of_pack<n>(); at < a.n; at += std::int64_t(gridDim.x) * hash_threads * n) {
    if (in_packs && a.n - at >= n) {
      const auto pack = load_pack<n>(words + at);
      for (int i = 0; i < n; ++i) sum += element_hash(pack.at[i], a.first + at + i);
    } else {
      for (std::int64_t i = at; i < at + n && i < a.n; ++i)
        sum += element_hash(load_pack<1>(words + i).at[0], a.first + i);
    }
  }
  for (int by = 16; by > 0; by /= 2) sum += __shfl_xor_sync(full_mask, sum, by);
  if (threadIdx.x % 32 == 0) atomicAdd(a.hash, sum);
}

}  // namespace detail

template <class T>
void HashElements<T>::launch(cudaStream_t stream) const {
  constexpr std::int64_t each = detail::hash_threads * pack_size<T>, most_blocks = 1024;
  const std::int64_t blocks = std::min((n + each - 1) / each, most_blocks);
  cuda::launch(stream, detail::hash_kernel<T>, unsigned(blocks), detail::hash_threads, 0, *this,
               detail::pack_aligned(x, 0));
}

MODERNGPT2_CUDA_INSTANTIATE_FLOAT(HashElements);

#endif  // MODERNGPT2_CUDA_KERNELS

}  // namespace moderngpt2::cuda::inline MODERNGPT2_CUDA_ABI
