#pragma once

#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>
#include <type_traits>

// immintrin.h costs half a second of compile time, and SSE needs only xmmintrin.h.
#if defined(__AVX__)
#include <immintrin.h>
#elif defined(__SSE__)
#include <xmmintrin.h>
#endif

#include "moderngpt2/core/abi.hpp"
#include "moderngpt2/core/dtype.hpp"

// Portable vectors of the target's register width, through the vector extensions of g++ and clang: the same source for
// SSE, AVX2, AVX-512 and NEON, with results that do not depend on auto-vectorization.
namespace moderngpt2::cpu::inline MODERNGPT2_CPU_ABI {

#if defined(__AVX512F__)
inline constexpr int lanes = 16;
#elif defined(__AVX__)
inline constexpr int lanes = 8;
#else
inline constexpr int lanes = 4;
#endif

typedef float f32v __attribute__((vector_size(lanes * 4)));
typedef std::int32_t i32v __attribute__((vector_size(lanes * 4)));
typedef std::uint32_t u32v __attribute__((vector_size(lanes * 4)));
typedef std::uint16_t u16v __attribute__((vector_size(lanes * 2)));

inline f32v broadcast(float x) { return f32v{} + x; }

/// Tags for loads and stores: a whole register, or the last `n` elements of an array.
struct Whole {};
struct Part {
  int n;
};

inline f32v load(const float* p, Whole = {}) {
  f32v v;
  std::memcpy(&v, p, sizeof v);
  return v;
}
inline void store(float* p, f32v v, Whole = {}) { std::memcpy(p, &v, sizeof v); }
inline f32v load(const float* p, Part part) {
  f32v v{};
  for (int i = 0; i < part.n; ++i) v[i] = p[i];
  return v;
}
inline void store(float* p, f32v v, Part part) {
  for (int i = 0; i < part.n; ++i) p[i] = v[i];
}

/// Loads bf16 as fp32, and stores it rounded to nearest, ties to even: all arithmetic is in fp32.
inline f32v load(const bf16* p, Whole = {}) {
  u32v bits;
#if defined(__AVX512F__)
  bits = reinterpret_cast<u32v>(
      _mm512_maskz_cvtepu16_epi32(0xffff, _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p))));
#elif defined(__AVX2__)
  bits = reinterpret_cast<u32v>(_mm256_cvtepu16_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p))));
#else
  u16v half;
  std::memcpy(&half, p, sizeof half);
  bits = __builtin_convertvector(half, u32v);
#endif
  return reinterpret_cast<f32v>(bits << 16);
}
inline void store(bf16* p, f32v v, Whole = {}) {
  const u32v bits = reinterpret_cast<u32v>(v);
  const u32v rounded = bits + 0x7fffu + ((bits >> 16) & 1u);
  const u32v high = (v == v ? rounded : bits | 0x00400000u) >> 16;  // a NaN stays one
#if defined(__AVX512F__)
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(p),
                      _mm512_maskz_cvtepi32_epi16(0xffff, reinterpret_cast<__m512i>(high)));
#elif defined(__AVX2__)
  const __m256i twice = _mm256_packus_epi32(reinterpret_cast<__m256i>(high), reinterpret_cast<__m256i>(high));
  _mm_storeu_si128(reinterpret_cast<__m128i*>(p), _mm256_castsi256_si128(_mm256_permute4x64_epi64(twice, 8)));
#else
  const u16v half = __builtin_convertvector(high, u16v);
  std::memcpy(&p->bits, &half, sizeof half);
#endif
}
inline f32v load(const bf16* p, Part part) {
  f32v v{};
  for (int i = 0; i < part.n; ++i) v[i] = p[i];
  return v;
}
inline void store(bf16* p, f32v v, Part part) {
  for (int i = 0; i < part.n; ++i) {
    const bf16 rounded(v[i]);
    std::memcpy(&p[i].bits, &rounded.bits, sizeof rounded);  // p may be memory that holds floats
  }
}

/// Number of products that add_products() adds: two for each lane in bf16, else one.
template <class A, class B>
inline constexpr int products_at_once =
    std::is_same_v<const A, const bf16>&& std::is_same_v<const B, const bf16> ? 2 * lanes : lanes;

/// sums + a[i] * b[i] for products_at_once elements.
template <class A, class B>
inline f32v add_products(f32v sums, const A* a, const B* b) {
  if constexpr (products_at_once<A, B> == lanes) return sums + load(a) * load(b);
#if defined(__AVX512BF16__)
  return reinterpret_cast<f32v>(_mm512_dpbf16_ps(reinterpret_cast<__m512>(sums),
                                                 reinterpret_cast<__m512bh>(_mm512_loadu_si512(a)),
                                                 reinterpret_cast<__m512bh>(_mm512_loadu_si512(b))));
#else
  return sums + load(a) * load(b) + load(a + lanes) * load(b + lanes);
#endif
}

/// Calls f(i, Whole) for whole registers of [0, n), then f(i, Part) for the rest.
template <class F>
inline void vector_loop(int n, F&& f) {
  int i = 0;
  for (; i + lanes <= n; i += lanes) f(i, Whole{});
  if (i < n) f(i, Part{n - i});
}

/// Sum of the elements, pairwise over quarters of the register: a fixed order with few dependent steps.
inline float sum(f32v v) {
  typedef float Four __attribute__((vector_size(16)));
  Four parts[lanes / 4];
  std::memcpy(parts, &v, sizeof v);
  Four total = parts[0];
  for (int i = 1; i < lanes / 4; ++i) total += parts[i];
  return (total[0] + total[2]) + (total[1] + total[3]);
}

/// Maximum of `top` and s[0..n); NaN if any is.
inline float largest(float top, const float* s, int n) {
  f32v tops = broadcast(top);
  int i = 0;
  for (; i + lanes <= n; i += lanes) {
    const f32v v = load(s + i);
    tops = ((v <= tops) | (tops != tops)) ? tops : v;
  }
  for (int j = 0; j < lanes; ++j) top = tops[j] <= top || top != top ? top : tops[j];
  for (; i < n; ++i) top = s[i] <= top || top != top ? top : s[i];
  return top;
}

inline f32v square_root(f32v v) {
#if defined(__AVX512F__)
  return _mm512_maskz_sqrt_ps(0xffff, v);  // the unmasked intrinsic causes a warning in g++ 12
#elif defined(__AVX__)
  return _mm256_sqrt_ps(v);
#elif defined(__SSE__)
  return _mm_sqrt_ps(v);
#else
  for (int i = 0; i < lanes; ++i) v[i] = std::sqrt(v[i]);
  return v;
#endif
}

/// e^x within about 2 ulp (Cephes' polynomial after range reduction by n ln 2); 0 below -87.3, infinity above 88.7, NaN
/// for NaN.
inline f32v exponential(f32v x) {
  const f32v low = broadcast(-87.3f), high = broadcast(88.7f);
#if defined(__AVX512F__)
  // No clamping to the bounds: below them the result is masked, above them scalef gives infinity.
  const f32v y = reinterpret_cast<f32v>(_mm512_maskz_min_ps(0xffff, __m512(broadcast(100.0f)), __m512(x)));
#else
  f32v y = x < low ? low : x;
  y = y > high ? high : y;
#endif
  const f32v magic = broadcast(12582912.0f);  // 1.5 * 2^23: adding it rounds to an integer
  f32v n = y * 1.44269504088896341f + magic - magic;
#if !defined(__AVX512F__)
  const f32v limit = broadcast(127.0f);
  n = n > limit ? limit : n;
#endif
  const f32v r = y - n * 0.693359375f + n * 2.12194440e-4f;
  f32v p = broadcast(1.9875691500e-4f);
  p = p * r + 1.3981999507e-3f;
  p = p * r + 8.3334519073e-3f;
  p = p * r + 4.1665795894e-2f;
  p = p * r + 1.6666665459e-1f;
  p = p * r + 5.0000001201e-1f;
  p = p * r * r + r + 1.0f;
#if defined(__AVX512F__)
  const __mmask16 kept = _mm512_cmp_ps_mask(__m512(x), __m512(low), _CMP_NLT_UQ);
  const __mmask16 infinite = _mm512_cmp_ps_mask(__m512(x), __m512(high), _CMP_GT_OQ);
  return f32v(_mm512_mask_mov_ps(_mm512_maskz_scalef_ps(kept, __m512(p), __m512(n)), infinite,
                                 __m512(broadcast(std::numeric_limits<float>::infinity()))));
#else
  const i32v bits = (__builtin_convertvector(n, i32v) + 127) << 23;
  f32v scale;
  std::memcpy(&scale, &bits, sizeof scale);
  f32v result = p * scale;
  result = x < low ? f32v{} : result;
  return x > high ? broadcast(std::numeric_limits<float>::infinity()) : result;
#endif
}

inline f32v sigmoid(f32v x) { return 1.0f / (1.0f + exponential(-x)); }

/// tanh: Cephes' odd polynomial near 0, (1 - e^-2|x|) / (1 + e^-2|x|) elsewhere.
inline f32v hyperbolic_tangent(f32v x) {
  const f32v size = x < 0.0f ? -x : x;
  const f32v e = exponential(size * -2.0f);
  const f32v far = (1.0f - e) / (1.0f + e);
  const f32v z = x * x;
  f32v p = broadcast(-5.70498872745e-3f);
  p = p * z + 2.06390887954e-2f;
  p = p * z - 5.37397155531e-2f;
  p = p * z + 1.33314422036e-1f;
  p = p * z - 3.33332819422e-1f;
  const f32v near = p * z * x + x;
  return size < 0.625f ? near : (x < 0.0f ? -far : far);
}

/// Sum of a[i] * b[i].
template <class A, class B>
float dot(const A* a, const B* b, int n) {
  f32v total{};
  vector_loop(n, [&](int i, auto part) { total += load(a + i, part) * load(b + i, part); });
  return sum(total);
}

/// to[i] = from[i], rounded to a shorter type.
template <class To, class From>
void convert(To* to, const From* from, int n) {
  vector_loop(n, [&](int i, auto part) { store(to + i, load(from + i, part), part); });
}

}  // namespace moderngpt2::cpu::inline MODERNGPT2_CPU_ABI
