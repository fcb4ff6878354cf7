#pragma once

#include <atomic>
#include <bit>
#include <cmath>
#include <cstdint>
#include <limits>
#include <source_location>

#include "moderngpt2/backend/cuda/simt/machine.hpp"
#include "moderngpt2/backend/cuda/simt/warp.hpp"

// Keywords and built-in functions of CUDA C++ that kernels of this library use, on the simulated GPU. Collectives take
// the caller's location, for reports.

#define __global__
#define __device__
#define __host__
#define __forceinline__ inline __attribute__((always_inline))
#define __launch_bounds__(...)
#define __grid_constant__
#define threadIdx (::moderngpt2::simt::machine().thread().index)
#define blockIdx (::moderngpt2::simt::machine().block_index())
#define blockDim (::moderngpt2::simt::machine().block())
#define gridDim (::moderngpt2::simt::machine().grid())

inline void __syncthreads(std::source_location where = std::source_location::current()) {
  moderngpt2::simt::machine().barrier(where);
}
inline void __syncwarp(unsigned mask = 0xffffffffu, std::source_location where = std::source_location::current()) {
  moderngpt2::simt::sync_warp(mask, where);
}

/// Memory fence: writes before it are visible after a later fence of another thread.
inline void __threadfence() {
  moderngpt2::simt::sanitizer::acquire(moderngpt2::simt::machine().fence_tag());
  moderngpt2::simt::sanitizer::release(moderngpt2::simt::machine().fence_tag());
}

namespace moderngpt2::simt::detail {

/// Lane that a shuffle within segments of `width` lanes reads: `wanted`, or the lane itself if that is in another
/// segment.
inline int source_lane(int wanted, int width) {
  const int lane = machine().thread().lane;
  const bool inside = wanted >= lane / width * width && wanted < lane / width * width + width;
  return inside ? wanted : lane;
}

}  // namespace moderngpt2::simt::detail

template <class T>
T __shfl_sync(unsigned mask, T value, int source, int width = 32,
              std::source_location where = std::source_location::current()) {
  const int first = moderngpt2::simt::machine().thread().lane / width * width;
  return moderngpt2::simt::shuffle(mask, value, first + (source & (width - 1)), "__shfl_sync", where);
}
template <class T>
T __shfl_xor_sync(unsigned mask, T value, int bits, int width = 32,
                  std::source_location where = std::source_location::current()) {
  const int source = moderngpt2::simt::detail::source_lane(moderngpt2::simt::machine().thread().lane ^ bits, width);
  return moderngpt2::simt::shuffle(mask, value, source, "__shfl_xor_sync", where);
}
template <class T>
T __shfl_up_sync(unsigned mask, T value, unsigned by, int width = 32,
                 std::source_location where = std::source_location::current()) {
  const int source = moderngpt2::simt::detail::source_lane(moderngpt2::simt::machine().thread().lane - int(by), width);
  return moderngpt2::simt::shuffle(mask, value, source, "__shfl_up_sync", where);
}
template <class T>
T __shfl_down_sync(unsigned mask, T value, unsigned by, int width = 32,
                   std::source_location where = std::source_location::current()) {
  const int source = moderngpt2::simt::detail::source_lane(moderngpt2::simt::machine().thread().lane + int(by), width);
  return moderngpt2::simt::shuffle(mask, value, source, "__shfl_down_sync", where);
}
inline unsigned __ballot_sync(unsigned mask, int predicate,
                              std::source_location where = std::source_location::current()) {
  return moderngpt2::simt::ballot(mask, predicate != 0, "__ballot_sync", where);
}
inline int __any_sync(unsigned mask, int predicate, std::source_location where = std::source_location::current()) {
  return moderngpt2::simt::ballot(mask, predicate != 0, "__any_sync", where) != 0;
}
inline int __all_sync(unsigned mask, int predicate, std::source_location where = std::source_location::current()) {
  return moderngpt2::simt::ballot(mask, predicate != 0, "__all_sync", where) == mask;
}

namespace moderngpt2::simt::detail {

/// Atomic read-modify-write with relaxed order, as on a GPU. Returns the old value.
template <class T, class F>
T atomic_update(T* address, F&& next) {
  {
    sanitizer::Quiet quiet;
    machine().maybe_yield();
  }
  std::atomic_ref<T> there(*address);
  T old = there.load(std::memory_order_relaxed);
  while (!there.compare_exchange_weak(old, next(old), std::memory_order_relaxed)) {
  }
  return old;
}

}  // namespace moderngpt2::simt::detail

template <class T>
T atomicAdd(T* address, std::type_identity_t<T> value) {
  return moderngpt2::simt::detail::atomic_update(address, [&](T old) { return T(old + value); });
}
template <class T>
T atomicMax(T* address, std::type_identity_t<T> value) {
  return moderngpt2::simt::detail::atomic_update(address, [&](T old) { return old < value ? value : old; });
}
template <class T>
T atomicMin(T* address, std::type_identity_t<T> value) {
  return moderngpt2::simt::detail::atomic_update(address, [&](T old) { return value < old ? value : old; });
}
template <class T>
T atomicOr(T* address, std::type_identity_t<T> value) {
  return moderngpt2::simt::detail::atomic_update(address, [&](T old) { return T(old | value); });
}
template <class T>
T atomicExch(T* address, std::type_identity_t<T> value) {
  return moderngpt2::simt::detail::atomic_update(address, [&](T) { return value; });
}
template <class T>
T atomicCAS(T* address, std::type_identity_t<T> expected, std::type_identity_t<T> value) {
  return moderngpt2::simt::detail::atomic_update(address, [&](T old) { return old == expected ? value : old; });
}
inline unsigned atomicInc(unsigned* address, unsigned last) {
  return moderngpt2::simt::detail::atomic_update(address, [&](unsigned old) { return old >= last ? 0u : old + 1; });
}

namespace moderngpt2::simt {

namespace detail {

/// Deterministic hash of a number.
inline std::uint32_t hash_of(float x) {
  std::uint32_t h = std::bit_cast<std::uint32_t>(x);
  h = (h ^ h >> 16) * 0x85EBCA6B, h = (h ^ h >> 13) * 0xC2B2AE35;
  return h ^ h >> 16;
}

}  // namespace detail

/// ex2.approx.ftz.f32 with errors as large as the PTX ISA allows: up to 2 units in the last place. Flushes subnormals.
inline float ex2_approx_ftz(float x) {
  constexpr float least = std::numeric_limits<float>::min();
  if (std::abs(x) < least) return 1;
  const float y = float(std::exp2(double(x)));
  if (y < least) return 0;
  if (!std::isfinite(y)) return y;
  const float near = std::bit_cast<float>(std::bit_cast<std::uint32_t>(y) - 2 + detail::hash_of(x) % 5);
  return near < least ? 0 : near;
}
/// tanh.approx.f32 with relative errors as large as the PTX ISA allows: up to 2^-11. Results may exceed 1.
inline float tanh_approx(float x) {
  if (!std::isnormal(x)) return std::tanh(x);
  const double off = double(std::int32_t(detail::hash_of(x))) * 0x1p-31;
  return float(std::tanh(double(x)) * (1 + off * (0x1p-11 - 0x1p-22)));
}

}  // namespace moderngpt2::simt

inline float rsqrtf(float x) { return 1.0f / std::sqrt(x); }
inline float __expf(float x) { return std::exp(x); }
inline float __logf(float x) { return std::log(x); }
inline double __dmul_rn(double x, double y) { return x * y; }
inline float __fdividef(float x, float y) { return x / y; }
inline int __popc(unsigned x) { return std::popcount(x); }
inline int __clz(int x) { return std::countl_zero(unsigned(x)); }
inline int __ffs(int x) { return x == 0 ? 0 : std::countr_zero(unsigned(x)) + 1; }
inline unsigned __umulhi(unsigned x, unsigned y) { return unsigned(std::uint64_t(x) * y >> 32); }
inline unsigned __float_as_uint(float x) { return std::bit_cast<unsigned>(x); }
inline float __uint_as_float(unsigned x) { return std::bit_cast<float>(x); }
inline int __float_as_int(float x) { return std::bit_cast<int>(x); }
inline float __int_as_float(int x) { return std::bit_cast<float>(x); }
template <class T>
T __ldg(const T* address) {
  return *address;
}
