#pragma once

#include <cstdint>
#include <cstring>
#include <source_location>

#include "moderngpt2/backend/cuda/runtime.hpp"
#include "moderngpt2/core/abi.hpp"
#include "moderngpt2/core/dtype.hpp"

#ifdef MODERNGPT2_CUDA_KERNELS

// Primitives of kernels beyond CUDA's own: conversion of elements, 16-byte packs, shared memory, cp.async, ldmatrix and
// mma.sync. Each has a PTX version for GPUs and a C++ version, with checks of its arguments, for the simulated GPU.
namespace moderngpt2::cuda::inline MODERNGPT2_CUDA_ABI {

inline constexpr unsigned full_mask = 0xffffffffu;

/// MODERNGPT2_UNROLL precedes loops whose arrays must stay in registers. MODERNGPT2_WHERE_PARAMETER and _ARGUMENT pass
/// the caller's location to the checks of the simulated GPU.
#ifdef __CUDACC__
#define MODERNGPT2_DEVICE __device__ __forceinline__
#define MODERNGPT2_UNROLL _Pragma("unroll")
#define MODERNGPT2_NO_UNROLL _Pragma("unroll 1")
#define MODERNGPT2_WHERE_PARAMETER
#define MODERNGPT2_WHERE_ARGUMENT
#else
#define MODERNGPT2_DEVICE inline
#define MODERNGPT2_UNROLL
#define MODERNGPT2_NO_UNROLL
#define MODERNGPT2_WHERE_PARAMETER , std::source_location where = std::source_location::current()
#define MODERNGPT2_WHERE_ARGUMENT , where
#endif

// ---- elements

MODERNGPT2_DEVICE float to_float(float x) { return x; }
MODERNGPT2_DEVICE float to_float(bf16 x) { return __uint_as_float(unsigned(x.bits) << 16); }
MODERNGPT2_DEVICE float to_float(f16 x) {
#ifdef __CUDACC__
  float y;
  asm("cvt.f32.f16 %0, %1;" : "=f"(y) : "h"(x.bits));
  return y;
#else
  return float(x);
#endif
}

/// Rounds to T, to nearest even.
template <class T>
MODERNGPT2_DEVICE T from_float(float x) {
#ifdef __CUDACC__
  if constexpr (sizeof(T) == 2) {
    std::uint16_t bits;
    if constexpr (std::is_same_v<T, bf16>)
      asm("cvt.rn.bf16.f32 %0, %1;" : "=h"(bits) : "f"(x));
    else
      asm("cvt.rn.f16.f32 %0, %1;" : "=h"(bits) : "f"(x));
    return T::from_bits(bits);
  } else {
    return x;
  }
#else
  return T(x);
#endif
}

/// Rounds two floats to a 16-bit type and packs them in one register, `low` in the lower half, as in fragments of mma.
template <class T>
MODERNGPT2_DEVICE std::uint32_t pack_pair(float low, float high) {
  static_assert(sizeof(T) == 2);
#ifdef __CUDACC__
  std::uint32_t pair;
  if constexpr (std::is_same_v<T, bf16>)
    asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(pair) : "f"(high), "f"(low));
  else
    asm("cvt.rn.f16x2.f32 %0, %1, %2;" : "=r"(pair) : "f"(high), "f"(low));
  return pair;
#else
  return std::uint32_t(T(low).bits) | std::uint32_t(T(high).bits) << 16;
#endif
}

/// N elements that one instruction loads or stores; N is a power of 2 up to pack_size<T>, which is 16 bytes.
template <class T, int N>
struct alignas(N * sizeof(T)) Pack {
  T at[N];
};
template <class T>
inline constexpr int pack_size = 16 / int(sizeof(T));

namespace detail {
template <int bytes>
struct WordsOf;
template <>
struct WordsOf<2> {
  using type = std::uint16_t;
};
template <>
struct WordsOf<4> {
  using type = unsigned;
};
template <>
struct WordsOf<8> {
  using type = uint2;
};
template <>
struct WordsOf<16> {
  using type = uint4;
};

#ifndef __CUDACC__
inline void require_alignment(const void* address, std::size_t bytes, std::source_location where) {
  if (reinterpret_cast<std::uintptr_t>(address) % bytes != 0)
    simt::machine().fail(fmt::format("an access of {} bytes at an address that is no multiple of them", bytes), where);
}
#endif
}  // namespace detail

/// Loads N elements from an address aligned to their size.
template <int N, class T>
MODERNGPT2_DEVICE Pack<T, N> load_pack(const T* from MODERNGPT2_WHERE_PARAMETER) {
  using Words = typename detail::WordsOf<N* int(sizeof(T))>::type;
#ifdef __CUDACC__
  const Words words = *reinterpret_cast<const Words*>(from);
#else
  detail::require_alignment(from, sizeof(Words), where);
  simt::sanitizer::read_range(from, sizeof(Words));
  Words words;
  std::memcpy(&words, from, sizeof words);
#endif
  Pack<T, N> pack;
  memcpy(static_cast<void*>(&pack), &words, sizeof words);
  return pack;
}
/// Stores N elements to an address aligned to their size.
template <int N, class T>
MODERNGPT2_DEVICE void store_pack(T* to, const Pack<T, N>& pack MODERNGPT2_WHERE_PARAMETER) {
  using Words = typename detail::WordsOf<N* int(sizeof(T))>::type;
  Words words;
  memcpy(&words, &pack, sizeof words);
#ifdef __CUDACC__
  *reinterpret_cast<Words*>(to) = words;
#else
  detail::require_alignment(to, sizeof(Words), where);
  simt::sanitizer::write_range(to, sizeof(Words));
  std::memcpy(static_cast<void*>(to), &words, sizeof words);
#endif
}

// ---- shared memory

#ifdef __CUDACC__
/// Static shared memory of the block as a Layout, a plain struct of arrays of at most 48 KiB. Calls with the same type
/// return the same memory.
template <class Layout>
MODERNGPT2_DEVICE Layout& shared() {
  alignas(128) __shared__ unsigned char bytes[sizeof(Layout)];
  return *reinterpret_cast<Layout*>(bytes);
}
/// Dynamic shared memory of the block as a Layout. The launch must have shared_bytes >= sizeof(Layout).
template <class Layout>
MODERNGPT2_DEVICE Layout& dynamic_shared() {
  extern __shared__ __align__(128) unsigned char moderngpt2_dynamic_shared[];
  return *reinterpret_cast<Layout*>(moderngpt2_dynamic_shared);
}
#else
template <class Layout>
inline constexpr char shared_key = 0;

template <class Layout>
Layout& shared() {
  static_assert(sizeof(Layout) <= 48 * 1024, "static shared memory is limited to 48 KiB: use dynamic_shared");
  static_assert(alignof(Layout) <= simt::SharedMemory::alignment);
  simt::sanitizer::Quiet quiet;
  return *static_cast<Layout*>(simt::machine().shared().of(&shared_key<Layout>, sizeof(Layout)));
}
template <class Layout>
Layout& dynamic_shared(std::source_location where = std::source_location::current()) {
  static_assert(alignof(Layout) <= simt::SharedMemory::alignment);
  simt::sanitizer::Quiet quiet;
  if (simt::machine().shared().dynamic_bytes() < sizeof(Layout))
    simt::machine().fail(fmt::format("a layout of {} bytes in {} bytes of dynamic shared memory", sizeof(Layout),
                                     simt::machine().shared().dynamic_bytes()),
                         where);
  return *static_cast<Layout*>(simt::machine().shared().dynamic_data());
}
#endif

// ---- cp.async, sm_80 and later

/// Starts an asynchronous copy of `bytes` bytes (0 to 16) from global to shared memory; the rest of 16 bytes becomes
/// zero. Both addresses must be aligned to 16 bytes.
MODERNGPT2_DEVICE void cp_async16(void* to, const void* from, int bytes = 16 MODERNGPT2_WHERE_PARAMETER) {
#ifdef __CUDACC__
  asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(unsigned(__cvta_generic_to_shared(to))), "l"(from),
               "r"(bytes)
               : "memory");
#else
  simt::async_copy(to, from, bytes, where);
#endif
}
/// Commits this thread's copies since the last commit as a group, which may be empty.
MODERNGPT2_DEVICE void cp_async_commit() {
#ifdef __CUDACC__
  asm volatile("cp.async.commit_group;" ::: "memory");
#else
  simt::commit_copies();
#endif
}
/// Waits until at most `groups` of this thread's groups are pending. Other threads see the data after a barrier.
template <int groups>
MODERNGPT2_DEVICE void cp_async_wait() {
#ifdef __CUDACC__
  asm volatile("cp.async.wait_group %0;" ::"n"(groups) : "memory");
#else
  simt::wait_copies(groups);
#endif
}

// ---- matrices of a warp

/// Loads `count` (2 or 4) matrices of 8 x 8 16-bit elements from shared memory: lane 8 m + i passes the address of row
/// i (16 bytes, aligned) of matrix m. out[m] receives elements 2 (lane % 4) and 2 (lane % 4) + 1 of row lane / 4 of
/// matrix m, or of column lane / 4 if transposed (PTX ISA, "ldmatrix").
template <int count, bool transposed = false>
MODERNGPT2_DEVICE void ldmatrix(std::uint32_t (&out)[count], const void* row MODERNGPT2_WHERE_PARAMETER) {
  static_assert(count == 2 || count == 4);
#ifdef __CUDACC__
  const unsigned address = unsigned(__cvta_generic_to_shared(row));
  if constexpr (count == 4 && !transposed)
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0,%1,%2,%3}, [%4];"
                 : "=r"(out[0]), "=r"(out[1]), "=r"(out[2]), "=r"(out[3])
                 : "r"(address)
                 : "memory");
  else if constexpr (count == 4)
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0,%1,%2,%3}, [%4];"
                 : "=r"(out[0]), "=r"(out[1]), "=r"(out[2]), "=r"(out[3])
                 : "r"(address)
                 : "memory");
  else if constexpr (!transposed)
    asm volatile("ldmatrix.sync.aligned.m8n8.x2.shared.b16 {%0,%1}, [%2];"
                 : "=r"(out[0]), "=r"(out[1])
                 : "r"(address)
                 : "memory");
  else
    asm volatile("ldmatrix.sync.aligned.m8n8.x2.trans.shared.b16 {%0,%1}, [%2];"
                 : "=r"(out[0]), "=r"(out[1])
                 : "r"(address)
                 : "memory");
#else
  simt::ldmatrix<count, transposed>(out, row, where);
#endif
}

/// d (16,8) += a (16,16) b (16,8) by a warp; a and b of type T (bf16 or f16), d in fp32 (PTX ISA, "mma.m16n8k16"). With
/// q = lane / 4 and c = 2 (lane % 4), a lane holds
///   a[i]: row q + 8 (i % 2), columns c + 8 (i / 2) and the next     (ldmatrix<4> of a row-major a)
///   b[i]: rows c + 8 i and the next, column q                       (ldmatrix<2> of a row-major transpose of b)
///   d[i]: row q + 8 (i / 2), column c + i % 2
template <class T>
MODERNGPT2_DEVICE void mma(float (&d)[4], const std::uint32_t (&a)[4],
                           const std::uint32_t (&b)[2] MODERNGPT2_WHERE_PARAMETER) {
#ifdef __CUDACC__
  if constexpr (std::is_same_v<T, bf16>)
    asm volatile(
        "mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
        : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
  else
    asm volatile(
        "mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
        : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
#else
  simt::mma<T>(d, a, b, where);
#endif
}

// ---- fast functions: relative errors up to 2^-22 (exp2) and 2^-11 (tanh)

MODERNGPT2_DEVICE float fast_exp2(float x) {
#ifdef __CUDACC__
  float y;
  asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
  return y;
#else
  return simt::ex2_approx_ftz(x);
#endif
}
MODERNGPT2_DEVICE float fast_tanh(float x) {
#ifdef __CUDACC__
  float y;
  asm("tanh.approx.f32 %0, %1;" : "=f"(y) : "f"(x));
  return y;
#else
  return simt::tanh_approx(x);
#endif
}

}  // namespace moderngpt2::cuda::inline MODERNGPT2_CUDA_ABI

#endif  // MODERNGPT2_CUDA_KERNELS
