#pragma once

#include <algorithm>
#include <cstdint>

#include "moderngpt2/backend/cuda/device.cuh"
#include "moderngpt2/core/abi.hpp"
#include "moderngpt2/core/view.hpp"

#ifdef MODERNGPT2_CUDA_KERNELS

// Loads and stores in packs of 16 bytes where addresses allow it, and element by element otherwise.
namespace moderngpt2::cuda::inline MODERNGPT2_CUDA_ABI::detail {

/// Whether rows that start at `pointer`, `stride_bytes` apart, are aligned to 16 bytes.
inline bool pack_aligned(const void* pointer, std::int64_t stride_bytes) {
  return reinterpret_cast<std::uintptr_t>(pointer) % 16 == 0 && stride_bytes % 16 == 0;
}
/// Whether rows are aligned to 16 bytes and their width is a multiple of a pack.
template <class T>
bool pack_aligned(const Rows<T>& rows) {
  return pack_aligned(rows.data, std::int64_t(rows.stride) * std::int64_t(sizeof(T))) && rows.width % pack_size<T> == 0;
}

/// Integer constant as an argument of generic lambdas.
template <int number>
struct Constant {
  static constexpr int value = number;
};

/// Calls f(Constant<N>) with N = elements of a pack of T if `in_packs`, else 1.
template <class T, class F>
void dispatch_pack(bool in_packs, F&& f) {
  if (in_packs)
    f(Constant<pack_size<T>>{});
  else
    f(Constant<1>{});
}

/// Loads N elements as floats, in packs of at most 16 bytes.
template <int N, class T>
MODERNGPT2_DEVICE void load_floats(float (&x)[N], const T* from) {
  constexpr int n = N < pack_size<T> ? N : pack_size<T>;
  for (int first = 0; first < N; first += n) {
    const auto pack = load_pack<n>(from + first);
    for (int i = 0; i < n; ++i) x[first + i] = to_float(pack.at[i]);
  }
}
/// Loads the first min(count, N) elements; the rest of x is zero. `in_packs`: `from` is aligned to a pack.
template <int N, class T>
MODERNGPT2_DEVICE void load_floats(float (&x)[N], const T* from, std::int64_t count, bool in_packs) {
  if (in_packs && count >= N)
    load_floats(x, from);
  else
    for (int i = 0; i < N; ++i) x[i] = i < count ? to_float(from[i]) : 0.0f;
}

/// Stores N elements, rounded to T, in packs of at most 16 bytes.
template <int N, class T>
MODERNGPT2_DEVICE void store_floats(T* to, const float (&x)[N]) {
  constexpr int n = N < pack_size<T> ? N : pack_size<T>;
  for (int first = 0; first < N; first += n) {
    Pack<T, n> pack;
    for (int i = 0; i < n; ++i) pack.at[i] = from_float<T>(x[first + i]);
    store_pack(to + first, pack);
  }
}
/// Stores the first min(count, N) elements.
template <int N, class T>
MODERNGPT2_DEVICE void store_floats(T* to, const float (&x)[N], std::int64_t count, bool in_packs) {
  if (in_packs && count >= N) return store_floats(to, x);
  for (int i = 0; i < N; ++i)
    if (i < count) to[i] = from_float<T>(x[i]);
}

/// Threads per block (at most 256, whole warps) and number of blocks, for one thread per pack of `n` packs.
inline int threads_for(std::int64_t n) { return int(std::min<std::int64_t>(256, (n + 31) / 32 * 32)); }
inline unsigned blocks_for(std::int64_t n) { return unsigned((n + threads_for(n) - 1) / threads_for(n)); }

/// Threads of a block (at most 256, whole warps) for a row of `width` elements, N per thread.
inline unsigned row_threads(int width, int N) { return unsigned(threads_for((width + N - 1) / N)); }

/// Index of the first element of this thread's pack of N.
template <int N>
MODERNGPT2_DEVICE std::int64_t first_of_pack() {
  return (std::int64_t(blockIdx.x) * blockDim.x + threadIdx.x) * N;
}

/// Launch configuration for n elements in packs of N, one per thread.
template <int N>
struct Grid {
  unsigned threads, blocks;
  explicit Grid(std::int64_t n)
      : threads(unsigned(threads_for((n + N - 1) / N))), blocks(blocks_for((n + N - 1) / N)) {}
};

}  // namespace moderngpt2::cuda::inline MODERNGPT2_CUDA_ABI::detail

#endif  // MODERNGPT2_CUDA_KERNELS
