#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include "moderngpt2/core/quantized_blocks.hpp"

using namespace moderngpt2;

namespace quantized_blocks_test {

/// Values in [-1, 1) from a linear congruential generator, the second half a hundredth as large.
std::vector<float> values(int count) {
  std::vector<float> x;
  std::uint32_t state = 12345;
  for (int i = 0; i < count; ++i) {
    state = state * 1664525u + 1013904223u;
    x.push_back(static_cast<float>(static_cast<std::int32_t>(state)) * 0x1p-31f * (i < count / 2 ? 1.0f : 0.01f));
  }
  return x;
}

template <class Block>
std::vector<Block> quantized(const std::vector<float>& x) {
  std::vector<Block> blocks(x.size() / block_values);
  quantize_row(x.data(), std::int64_t(x.size()), blocks.data(), "x");
  return blocks;
}

template <class Block>
std::string bytes_of(const std::vector<Block>& blocks) {
  std::string hex;
  std::vector<unsigned char> bytes(blocks.size() * sizeof(Block));
  std::memcpy(bytes.data(), blocks.data(), bytes.size());
  for (const unsigned char byte : bytes) hex += fmt::format("{:02x}", unsigned(byte));
  return hex;
}

template <class Block>
std::string error_of(const std::vector<float>& x, std::int64_t count) {
  std::vector<Block> blocks(x.size() / block_values + 1);
  try {
    quantize_row(x.data(), count, blocks.data(), "transformer.wte.weight");
  } catch (const Error& error) {
    return error.what();
  }
  return "";
}

}  // namespace quantized_blocks_test

using namespace quantized_blocks_test;

TEST_CASE("blocks equal those of the Python package gguf") {  // gguf.quants.quantize, version 0.19.0
  CHECK(bytes_of(quantized<BlockQ8_0>(values(64))) ==
        "082005048ca3e91d7e8d99c90abff713b47565f667f4feab6b7f496cae2717db4f02"
        "f2047b4d8ff604c65055f488a8a59c2bedc279b758b490c1753779a981de68ecbc26");
  CHECK(bytes_of(quantized<BlockQ4_0>(values(64))) ==
        "00b028982f9e89d6100f3e1bd76c79a73d81"
        "e814ff3de1371844fdbdf7300262f27b47a4");
}

TEST_CASE_TEMPLATE("dequantized values are within a step of the original", Block, BlockQ8_0, BlockQ4_0) {
  const std::vector<float> x = values(1024);
  const std::vector<Block> blocks = quantized<Block>(x);
  std::vector<float> y(x.size());
  dequantize_row(blocks.data(), std::int64_t(y.size()), y.data());
  for (std::size_t i = 0; i < x.size(); ++i) {
    const Block& block = blocks[i / block_values];
    CHECK(y[i] == float(block.scale) * float(block.level(int(i % block_values))));
    // Half a step, but a whole one where q4_0 has no level +8; and the rounding of the scale.
    CHECK(std::fabs(y[i] - x[i]) <= std::fabs(float(block.scale)) * (Block::levels == 8 ? 1.01f : 0.57f));
  }
}

TEST_CASE_TEMPLATE("blocks of zeros and of subnormal values are zeros", Block, BlockQ8_0, BlockQ4_0) {
  for (const float value : {0.0f, -0.0f, 1e-40f, -1e-45f}) {
    std::vector<float> x(64, value), y(64, 1.0f);
    x[3] = -value;
    dequantize_row(quantized<Block>(x).data(), 64, y.data());
    for (const float v : y) CHECK(v == 0);
  }
}

TEST_CASE("halves round away from zero in q8_0") {
  std::vector<float> x(32, 0.0f);
  x[0] = 127;  // the scale is 1
  x[1] = 0.5f, x[2] = -0.5f, x[3] = 1.5f, x[4] = 0.49999997f, x[5] = -126.5f;
  const BlockQ8_0 block = quantized<BlockQ8_0>(x)[0];
  CHECK(float(block.scale) == 1);
  const int expected[] = {127, 1, -1, 2, 0, -127};
  for (int i = 0; i < 6; ++i) CHECK(block.level(i) == expected[i]);
}

TEST_CASE_TEMPLATE("errors name the tensor, the value and the limit", Block, BlockQ8_0, BlockQ4_0) {
  const std::vector<float> x = values(64);
  CHECK(error_of<Block>(x, 33).find("\"transformer.wte.weight\": rows of 33 values") == 0);
  CHECK(error_of<Block>(x, 0).find("multiple of 32") != std::string::npos);
  CHECK(error_of<Block>(x, 64).empty());
  constexpr float infinity = std::numeric_limits<float>::infinity();
  for (const float bad : {infinity, -infinity, std::nanf(""), 65520.0f * Block::levels, 3e38f}) {
    std::vector<float> y = x;
    y[40] = bad;
    CHECK(error_of<Block>(y, 64).find("\"transformer.wte.weight\": the value ") == 0);
    CHECK(error_of<Block>(y, 64).find(fmt::format("{}", bad)) != std::string::npos);
  }
}
