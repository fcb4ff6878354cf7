#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <type_traits>

#if defined(__AVX2__)
#include <immintrin.h>
#endif

#include "moderngpt2/backend/cpu/backend.hpp"
#include "moderngpt2/backend/cpu/simd.hpp"
#include "moderngpt2/core/abi.hpp"
#include "moderngpt2/core/quantized_matrix.hpp"
#include "moderngpt2/core/view.hpp"

// Integer products of quantized blocks and activations rounded to 8 bits. A register holds 4 values of each of 8 rows
// of weights, and their products with 4 activations are added up in 32 bits, with AVX2, AVX-VNNI or AVX512-VNNI.
// Elsewhere portable loops compute the same integers.
namespace moderngpt2::cpu::inline MODERNGPT2_CPU_ABI::detail {

#if defined(__AVX2__) && defined(__FMA__) && defined(__F16C__)
#define MODERNGPT2_BYTE_PRODUCTS 1
#else
#define MODERNGPT2_BYTE_PRODUCTS 0
#endif

/// Activations rounded to 8 bits: value (n, i) is scales[n * blocks + i / 32] * values[n * cols + i].
struct QuantizedRows {
  const std::int8_t* values = nullptr;
  const float* scales = nullptr;
  const std::int32_t* offsets = nullptr;  ///< 8 times the sum of each block's values, for q4_0's levels from -8 on
  int count = 0;
  int blocks = 0;

  const std::int8_t* row(int n) const { return values + std::int64_t(n) * blocks * block_values; }
};

/// Rounds 32 floats to multiples of `scale`, which it returns: the largest magnitude / 127. A block with a NaN or an
/// infinity has the scale NaN.
inline float round_block(const float* x, std::int8_t* values) {
  f32v tops{}, poison{};
  for (int i = 0; i < block_values; i += lanes) {
    const f32v v = load(x + i), size = v < 0.0f ? -v : v;
    tops = size > tops ? size : tops;
    poison += v * 0.0f;
  }
  float top = 0;
  for (int i = 0; i < lanes; ++i) top = std::max(top, tops[i]);
  const float bad = sum(poison);
  const float inverse = top > 1e-30f && bad == 0 ? 127.0f / top : 0.0f;  // no overflow for tiny values
  const f32v magic = broadcast(12582912.0f);                             // 1.5 * 2^23: adding it rounds to an integer
#if MODERNGPT2_BYTE_PRODUCTS
  const auto rounded = [&](int i) {
    __m256 v = _mm256_loadu_ps(x + i);
    v = _mm256_mul_ps(v, _mm256_set1_ps(inverse));
    return _mm256_cvtps_epi32(v);  // to nearest, ties to even
  };
  (void)magic;
  const __m256i low = _mm256_packs_epi32(rounded(0), rounded(8)), high = _mm256_packs_epi32(rounded(16), rounded(24));
  const __m256i order = _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7);
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(values),
                      _mm256_permutevar8x32_epi32(_mm256_packs_epi16(low, high), order));
#else
  for (int i = 0; i < block_values; i += lanes) {
    const f32v v = load(x + i) * inverse;
    const i32v n = __builtin_convertvector((v + magic) - magic, i32v);
    for (int j = 0; j < lanes; ++j) values[i + j] = static_cast<std::int8_t>(n[j]);
  }
#endif
  return inverse > 0 ? top / 127.0f : bad;
}

/// Rounds rows of a multiple of 32 floats, in the backend's product scratch.
inline QuantizedRows quantize_rows(Backend& b, Rows<const float> x) {
  const int blocks = x.width / block_values;
  const std::int64_t count = std::int64_t(x.count) * blocks;
  std::byte* const space = b.product_scratch<std::byte>(count * (block_values + 8));
  auto* const values = reinterpret_cast<std::int8_t*>(space);
  auto* const scales = reinterpret_cast<float*>(space + count * block_values);
  auto* const offsets = reinterpret_cast<std::int32_t*>(scales + count);
  for (int n = 0; n < x.count; ++n)
    for (int i = 0; i < blocks; ++i) {
      const std::int64_t at = std::int64_t(n) * blocks + i;
      std::int8_t* const to = values + at * block_values;
      scales[at] = round_block(x.row(n) + std::int64_t(i) * block_values, to);
      int total = 0;
      for (int j = 0; j < block_values; ++j) total += to[j];
      offsets[at] = 8 * total;
    }
  return {values, scales, offsets, x.count, blocks};
}

/// Portable: sums[r] = integer product of row r of a group and 32 activations.
template <class Block>
void group_integers(const QuantizedGroup<Block>& group, const std::int8_t* x, std::int32_t* sums) {
  for (int r = 0; r < group_rows; ++r) {
    const Block block = unpack_block(group, r);
    sums[r] = 0;
    for (int i = 0; i < block_values; ++i) sums[r] += block.level(i) * x[i];
  }
}

/// Product of a row of blocks with row n of x.
template <class Block>
float row_product(const Block* w, const QuantizedRows& x, int n) {
  float total = 0;
  for (int i = 0; i < x.blocks; ++i) {
    int sum = 0;
    for (int j = 0; j < block_values; ++j) sum += w[i].level(j) * x.row(n)[i * block_values + j];
    total += float(w[i].scale) * x.scales[std::int64_t(n) * x.blocks + i] * float(sum);
  }
  return total;
}

#if MODERNGPT2_BYTE_PRODUCTS

inline __m256i load_bytes(const void* p) { return _mm256_loadu_si256(static_cast<const __m256i*>(p)); }
inline __m256i broadcast_chunk(const std::int8_t* p) {
  std::int32_t chunk;
  std::memcpy(&chunk, p, sizeof chunk);
  return _mm256_set1_epi32(chunk);
}

#if defined(__AVX512VNNI__) && defined(__AVX512VL__)
#define MODERNGPT2_DOT_BYTES(sums, a, b) _mm256_dpbusd_epi32(sums, a, b)
#elif defined(__AVXVNNI__)
#define MODERNGPT2_DOT_BYTES(sums, a, b) _mm256_dpbusd_avx_epi32(sums, a, b)
#endif

/// Integer products of the 8 rows of a group and a block of each of N rows of x, from `x` on, `stride` bytes apart.
template <int N>
void group_integers(const QuantizedGroup<BlockQ8_0>& group, const std::int8_t* x, std::int64_t stride, __m256i* sums) {
  for (int n = 0; n < N; ++n) sums[n] = _mm256_setzero_si256();
  for (int j = 0; j < block_values / 4; ++j) {
    const __m256i w = load_bytes(&group.bytes[std::size_t(j * 32)]), size = _mm256_abs_epi8(w);
    for (int n = 0; n < N; ++n) {
      // |w| is unsigned, -128 included, and x is never -128: pairs of products fit 16 bits.
      const __m256i signed_x = _mm256_sign_epi8(broadcast_chunk(x + n * stride + 4 * j), w);
#ifdef MODERNGPT2_DOT_BYTES
      sums[n] = MODERNGPT2_DOT_BYTES(sums[n], size, signed_x);
#else
      const __m256i pairs = _mm256_maddubs_epi16(size, signed_x);
      sums[n] = _mm256_add_epi32(sums[n], _mm256_madd_epi16(pairs, _mm256_set1_epi16(1)));
#endif
    }
  }
}
template <int N>
void group_integers(const QuantizedGroup<BlockQ4_0>& group, const std::int8_t* x, std::int64_t stride, __m256i* sums) {
  const __m256i mask = _mm256_set1_epi8(15);
  for (int n = 0; n < N; ++n) sums[n] = _mm256_setzero_si256();
  for (int j = 0; j < block_values / 8; ++j) {
    const __m256i w = load_bytes(&group.bytes[std::size_t(j * 32)]);
    const __m256i low = _mm256_and_si256(w, mask), high = _mm256_and_si256(_mm256_srli_epi16(w, 4), mask);
    for (int n = 0; n < N; ++n) {
      const __m256i x_low = broadcast_chunk(x + n * stride + 4 * j);
      const __m256i x_high = broadcast_chunk(x + n * stride + 16 + 4 * j);
#ifdef MODERNGPT2_DOT_BYTES
      sums[n] = MODERNGPT2_DOT_BYTES(MODERNGPT2_DOT_BYTES(sums[n], low, x_low), high, x_high);
#else
      // 16 products of at most 15 * 127 fit 16 bits.
      sums[n] = _mm256_add_epi16(
          sums[n], _mm256_add_epi16(_mm256_maddubs_epi16(low, x_low), _mm256_maddubs_epi16(high, x_high)));
#endif
    }
  }
#ifndef MODERNGPT2_DOT_BYTES
  for (int n = 0; n < N; ++n) sums[n] = _mm256_madd_epi16(sums[n], _mm256_set1_epi16(1));
#endif
}
#undef MODERNGPT2_DOT_BYTES

/// sums[i][r] = product of row r of a group of weights and row n + i of x.
template <int N, class Block>
void group_products(const QuantizedGroup<Block>* group, const QuantizedRows& x, int n, float (*sums)[group_rows]) {
  const std::int64_t stride = std::int64_t(x.blocks) * block_values;
  __m256 totals[std::size_t(N)];
  for (int i = 0; i < N; ++i) totals[i] = _mm256_setzero_ps();
  for (int block = 0; block < x.blocks; ++block) {
    __m256i integers[std::size_t(N)];
    group_integers<N>(group[block], x.row(n) + std::int64_t(block) * block_values, stride, integers);
    __m128i halves;
    std::memcpy(&halves, group[block].scales.data(), sizeof halves);
    const __m256 scales = _mm256_cvtph_ps(halves);
    for (int i = 0; i < N; ++i) {
      const std::int64_t at = std::int64_t(n + i) * x.blocks + block;
      if constexpr (std::is_same_v<Block, BlockQ4_0>)
        integers[i] = _mm256_sub_epi32(integers[i], _mm256_set1_epi32(x.offsets[at]));
      totals[i] = _mm256_fmadd_ps(_mm256_cvtepi32_ps(integers[i]), _mm256_mul_ps(scales, _mm256_set1_ps(x.scales[at])),
                                  totals[i]);
    }
  }
  for (int i = 0; i < N; ++i) _mm256_storeu_ps(sums[i], totals[i]);
}

#else

template <int N, class Block>
void group_products(const QuantizedGroup<Block>* group, const QuantizedRows& x, int n, float (*sums)[group_rows]) {
  for (int i = 0; i < N; ++i) {
    std::fill_n(sums[i], group_rows, 0.0f);
    for (int block = 0; block < x.blocks; ++block) {
      std::int32_t integers[std::size_t(group_rows)];
      group_integers(group[block], x.row(n + i) + std::int64_t(block) * block_values, integers);
      const float scale = x.scales[std::int64_t(n + i) * x.blocks + block];
      for (int r = 0; r < group_rows; ++r)
        sums[i][r] += float(group[block].scales[std::size_t(r)]) * scale * float(integers[r]);
    }
  }
}

#endif

/// Expands rows [first, first + count), columns [at, at + depth) of w to fp32, (count,depth). `first` is a multiple of
/// 8, `at` and `depth` are of 32.
template <class Block>
void expand_tile(Matrix<QuantizedValue<Block>> w, int first, int count, int at, int depth, float* to) {
  typedef std::int8_t Bytes __attribute__((vector_size(4)));
  typedef float Floats __attribute__((vector_size(16)));
  constexpr int half = block_values / 2;
  const int grouped = std::min(first + count, w.groups() * group_rows);
  for (int row = first; row < grouped; row += group_rows)
    for (int i = at / block_values; i < (at + depth) / block_values; ++i) {
      const QuantizedGroup<Block>& group = w.group(row / group_rows)[i];
      for (int r = 0; r < group_rows; ++r) {
        float* const out = to + std::int64_t(row - first + r) * depth + i * block_values - at;
        const float scale = group.scales[std::size_t(r)];
        const auto write = [&](int column, Bytes levels) {
          const Floats values = __builtin_convertvector(levels, Floats) * scale;
          std::memcpy(out + column, &values, sizeof values);
        };
        for (int j = 0; j < QuantizedGroup<Block>::row_bytes / 4; ++j) {
          Bytes bytes;
          std::memcpy(&bytes, &group.bytes[std::size_t((j * group_rows + r) * 4)], sizeof bytes);
          if constexpr (std::is_same_v<Block, BlockQ8_0>) {
            write(4 * j, bytes);
          } else {
            write(4 * j, (bytes & 15) - 8);
            write(4 * j + half, ((bytes >> 4) & 15) - 8);
          }
        }
      }
    }
  for (int row = std::max(first, grouped); row < first + count; ++row)
    dequantize_row(w.row(row) + at / block_values, depth, to + std::int64_t(row - first) * depth);
}

}  // namespace moderngpt2::cpu::inline MODERNGPT2_CPU_ABI::detail
