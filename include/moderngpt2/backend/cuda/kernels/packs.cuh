#pragma once

#include <cstdint>

#include "moderngpt2/backend/cuda/device.cuh"
#include "moderngpt2/core/view.hpp"

// Rows in packs of 16 bytes: what a launch asks before it chooses them, and N neighbours as floats.
namespace moderngpt2::cuda::detail {

/// Whether every pack from `pointer` on, in rows `stride_bytes` apart, is at a multiple of 16 bytes.
inline bool packs(const void* pointer, std::int64_t stride_bytes) {
  return reinterpret_cast<std::uintptr_t>(pointer) % 16 == 0 && stride_bytes % 16 == 0;
}
/// The same, and no row ends within a pack.
template <class T>
bool packs(const Rows<T>& rows) {
  return packs(rows.data, std::int64_t(rows.stride) * std::int64_t(sizeof(T))) && rows.width % pack_size<T> == 0;
}

template <int value>
struct Constant {
  static constexpr int is = value;
};

/// Calls f(Constant<N>): the elements of a pack of T, or 1.
template <class T, class F>
void choose_pack(bool in_packs, F&& f) {
  if (in_packs)
    f(Constant<pack_size<T>>{});
  else
    f(Constant<1>{});
}

template <int N, class T>
MODERNGPT2_DEVICE void load_floats(float (&x)[N], const T* from) {
  constexpr int n = N < pack_size<T> ? N : pack_size<T>;
  for (int first = 0; first < N; first += n) {
    const auto pack = load_pack<n>(from + first);
    for (int j = 0; j < n; ++j) x[first + j] = to_float(pack.at[j]);
  }
}
template <class T, int N>
MODERNGPT2_DEVICE void store_floats(T* to, const float (&x)[N]) {
  constexpr int n = N < pack_size<T> ? N : pack_size<T>;
  for (int first = 0; first < N; first += n) {
    Pack<T, n> pack;
    for (int j = 0; j < n; ++j) pack.at[j] = from_float<T>(x[first + j]);
    store_pack(to + first, pack);
  }
}

/// Threads of a block, at most 256, that have N elements each of a row of `width`.
inline unsigned row_threads(int width, int N) {
  const int warps = (width + N * 32 - 1) / (N * 32);
  return unsigned(32 * (warps < 8 ? warps : 8));
}

}  // namespace moderngpt2::cuda::detail
