#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "moderngpt2/core/dtype.hpp"
#include "moderngpt2/core/error.hpp"

namespace moderngpt2 {

/// Values of a quantized block. Rows of quantized matrices have a multiple of this length.
inline constexpr int block_values = 32;

/// Block of 32 values at 8 bits, 34 bytes: value i is scale * quants[i]. Type Q8_0 of GGUF files, same layout.
struct BlockQ8_0 {
  static constexpr std::string_view name = "q8_0";
  /// Level of the largest magnitude in a block.
  static constexpr int levels = 127;

  f16 scale;
  std::array<std::int8_t, block_values> quants;

  /// Value i in units of the scale, -127 to 127 (-128 in files of other programs).
  int level(int i) const { return quants[std::size_t(i)]; }
};

/// Block of 32 values at 4 bits, 18 bytes: value i is scale * (nibble i - 8), with the low nibbles of the bytes before
/// the high ones. Type Q4_0 of GGUF files, same layout.
struct BlockQ4_0 {
  static constexpr std::string_view name = "q4_0";
  /// Level of the largest magnitude in a block.
  static constexpr int levels = 8;

  f16 scale;
  std::array<std::uint8_t, block_values / 2> nibbles;

  /// Value i in units of the scale, -8 to 7.
  int level(int i) const {
    constexpr int half = block_values / 2;
    return (i < half ? nibbles[std::size_t(i)] & 15 : nibbles[std::size_t(i - half)] >> 4) - 8;
  }
};

static_assert(sizeof(BlockQ8_0) == 34 && alignof(BlockQ8_0) == 2);
static_assert(sizeof(BlockQ4_0) == 18 && alignof(BlockQ4_0) == 2);

/// Blocks of a row of `count` values. Throws Error with the tensor's name where count is no positive multiple of 32.
template <class Block>
std::int64_t blocks_of_row(std::int64_t count, std::string_view tensor) {
  if (count <= 0 || count % block_values != 0)
    throw Error("{}: rows of {} values; {} blocks need a multiple of {}. Choose another dtype.", excerpt(tensor), count,
                Block::name, block_values);
  return count / block_values;
}

namespace detail {

/// Throws the error of a block that holds no finite values, or larger ones than its scale can express.
template <class Block>
[[noreturn]] void refuse_block(const float* x, std::string_view tensor) {
  float worst = 0;
  for (int i = 0; i < block_values; ++i)
    if (!std::isnan(worst) && !(std::fabs(x[i]) <= std::fabs(worst))) worst = x[i];
  throw Error("{}: the value {} cannot be stored as {} (finite, magnitude at most {:g}). Choose another dtype.",
              excerpt(tensor), worst, Block::name, 65504.0 * Block::levels);
}

/// Reciprocal of a scale as the reference has it; 0 for 0. Infinite where the values are subnormal.
inline float inverse_scale(float scale) { return scale != 0 ? 1.0f / scale : 0.0f; }

}  // namespace detail

// The bytes equal those of the reference quantizers of ggml (ggml-quants.c, quantize_row_q8_0_ref and
// quantize_row_q4_0_ref) without fused multiply-add. Sums are formed in double, where they are exact: the compiler
// cannot fuse them with the float products. Blocks of subnormal values, whose inverse scale is infinite, get what the
// x86-64 conversion of infinity and NaN gives: 0.

/// Quantizes 32 values. Throws Error with the tensor's name where a value is infinite, NaN or above 65504 * 127.
inline void quantize_block(const float* x, BlockQ8_0& block, std::string_view tensor) {
  float largest = 0;
  bool finite = true;
  for (int i = 0; i < block_values; ++i) {
    const float magnitude = std::fabs(x[i]);
    largest = magnitude > largest ? magnitude : largest;
    finite &= magnitude < 0x1p127f;
  }
  const float scale = largest / 127;
  block.scale = f16(scale);
  if (!finite || block.scale.bits == 0x7c00) detail::refuse_block<BlockQ8_0>(x, tensor);
  const float inverse = detail::inverse_scale(scale);
  if (!(inverse < 0x1p128)) return block.quants.fill(0);
  for (int i = 0; i < block_values; ++i) {  // halves round away from 0
    const double level = double(x[i] * inverse);
    block.quants[std::size_t(i)] = static_cast<std::int8_t>(static_cast<int>(level + (level < 0 ? -0.5 : 0.5)));
  }
}

/// Quantizes 32 values. Throws Error with the tensor's name where a value is infinite, NaN or above 65504 * 8.
inline void quantize_block(const float* x, BlockQ4_0& block, std::string_view tensor) {
  float largest = 0, extreme = 0;  // the first value of the largest magnitude becomes level -8
  bool finite = true;
  for (int i = 0; i < block_values; ++i) {
    const float magnitude = std::fabs(x[i]);
    extreme = magnitude > largest ? x[i] : extreme;
    largest = magnitude > largest ? magnitude : largest;
    finite &= magnitude < 0x1p127f;
  }
  const float scale = extreme / -8;
  block.scale = f16(scale);
  if (!finite || (block.scale.bits & 0x7fff) == 0x7c00) detail::refuse_block<BlockQ4_0>(x, tensor);
  const float inverse = detail::inverse_scale(scale);
  if (!(std::fabs(inverse) < 0x1p128)) return block.nibbles.fill(0);
  const auto nibble = [&](float value) {
    const float level = value * inverse;
    return std::min(15, static_cast<int>(static_cast<float>(double(level) + 8.5)));
  };
  constexpr int half = block_values / 2;
  for (int i = 0; i < half; ++i)
    block.nibbles[std::size_t(i)] = static_cast<std::uint8_t>(nibble(x[i]) | (nibble(x[i + half]) << 4));
}

/// Values of a block: 32 floats.
inline void dequantize_block(const BlockQ8_0& block, float* x) {
  const float scale = block.scale;
  for (int i = 0; i < block_values; ++i) x[i] = scale * float(block.quants[std::size_t(i)]);
}
inline void dequantize_block(const BlockQ4_0& block, float* x) {
  constexpr int half = block_values / 2;
  const float scale = block.scale;
  for (int i = 0; i < half; ++i) {
    x[i] = scale * float((block.nibbles[std::size_t(i)] & 15) - 8);
    x[i + half] = scale * float((block.nibbles[std::size_t(i)] >> 4) - 8);
  }
}

/// Quantizes a row of `count` values to count / 32 blocks. Several rows, one after another, count as one. Throws Error
/// with the tensor's name where count is no positive multiple of 32 or a value cannot be stored.
template <class Block>
void quantize_row(const float* x, std::int64_t count, Block* blocks, std::string_view tensor) {
  const std::int64_t n = blocks_of_row<Block>(count, tensor);
  for (std::int64_t i = 0; i < n; ++i) quantize_block(x + i * block_values, blocks[i], tensor);
}

/// Values of `count / 32` blocks. `count` is a multiple of 32.
template <class Block>
void dequantize_row(const Block* blocks, std::int64_t count, float* x) {
  for (std::int64_t i = 0; i < count / block_values; ++i) dequantize_block(blocks[i], x + i * block_values);
}

}  // namespace moderngpt2
