#include <cmath>
#include <cstdint>
#include <limits>
#include <vector>

#include <doctest/doctest.h>

#include "moderngpt2/backend/cpu.hpp"
#include "moderngpt2/core/quantized_matrix.hpp"

using namespace moderngpt2;

namespace quantized_test {

std::vector<float> numbers(std::int64_t count, std::uint64_t key) {
  std::vector<float> x;
  for (std::int64_t i = 0; i < count; ++i) x.push_back(float(uniform_at(key, std::uint64_t(i))) - 0.5f);
  return x;
}

/// Random quantized matrix and the values it holds.
template <class Block>
struct Weights {
  FlatBuffer<QuantizedValue<Block>> buffer;
  Matrix<QuantizedValue<Block>> matrix;
  std::vector<float> values;

  Weights(int rows, int cols) : buffer(std::int64_t(rows) * cols), matrix{buffer.data(), rows, cols} {
    const std::vector<float> x = numbers(matrix.size(), 3);
    quantize_matrix(matrix, "w", 2,
                    [&](std::int64_t first, std::int64_t n, float* to) { std::copy_n(x.data() + first, n, to); });
    values.resize(x.size());
    for (int r = 0; r < rows; ++r) dequantize_matrix_row(matrix, r, &values[std::size_t(r) * std::size_t(cols)]);
    // The packed rows hold the blocks of the file format.
    std::vector<Block> blocks(x.size() / block_values);
    std::vector<float> expected(x.size());
    quantize_row(x.data(), matrix.size(), blocks.data(), "w");
    dequantize_row(blocks.data(), matrix.size(), expected.data());
    CHECK(values == expected);
  }
};

template <class Block>
std::vector<float> product(const Weights<Block>& w, const std::vector<float>& x, int rows, int threads,
                           const std::vector<float>& bias = {}) {
  cpu::Backend b(threads);
  std::vector<float> y(std::size_t(rows) * std::size_t(w.matrix.rows));
  cpu::matmul(b, Rows<float>(y.data(), rows, w.matrix.rows), Rows<const float>(x.data(), rows, w.matrix.cols), w.matrix,
              Vector<const float>{bias.empty() ? nullptr : bias.data(), int(bias.size())});
  return y;
}

/// Largest difference from the product in double, relative to sqrt(cols) / 12, the standard deviation of an output.
template <class Block>
double error_of(const Weights<Block>& w, const std::vector<float>& x, const std::vector<float>& y, int rows,
                const std::vector<float>& bias = {}) {
  double worst = 0;
  const auto cols = std::size_t(w.matrix.cols), outputs = std::size_t(w.matrix.rows);
  for (std::size_t n = 0; n < std::size_t(rows); ++n)
    for (std::size_t o = 0; o < outputs; ++o) {
      double sum = bias.empty() ? 0.0 : double(bias[o]);
      for (std::size_t i = 0; i < cols; ++i) sum += double(x[n * cols + i]) * double(w.values[o * cols + i]);
      worst = std::max(worst, std::fabs(sum - double(y[n * outputs + o])));
    }
  return worst * 12 / std::sqrt(double(cols));
}

}  // namespace quantized_test

using namespace quantized_test;

TEST_CASE_TEMPLATE("products of few rows are those of the dequantized matrix up to the rounding of x", Block, BlockQ8_0,
                   BlockQ4_0) {
  for (const int outputs : {1, 7, 8, 40, 77})
    for (const int cols : {32, 64, 352}) {
      const Weights<Block> w(outputs, cols);
      for (const int rows : {1, 2, 3, 4, 5, 8, 11}) {
        const std::vector<float> x = numbers(std::int64_t(rows) * cols, 5), bias = numbers(outputs, 9);
        const std::vector<float> y = product(w, x, rows, 1), shifted = product(w, x, rows, 2, bias);
        CHECK(error_of(w, x, y, rows) < 0.05);
        CHECK(error_of(w, x, shifted, rows, bias) < 0.05);
        CHECK(product(w, x, rows, 3) == y);
        // A row's product does not depend on the other rows.
        const std::vector<float> last(x.end() - cols, x.end());
        CHECK(product(w, last, 1, 1) == std::vector<float>(y.end() - outputs, y.end()));
      }
    }
}

TEST_CASE_TEMPLATE("products of many rows are those of the dequantized matrix", Block, BlockQ8_0, BlockQ4_0) {
  for (const int outputs : {5, 64, 301}) {
    const int rows = 70, cols = 288;
    const Weights<Block> w(outputs, cols);
    const std::vector<float> x = numbers(std::int64_t(rows) * cols, 5), bias = numbers(outputs, 9);
    for (const int threads : {1, 2, 3}) {
      CHECK(error_of(w, x, product(w, x, rows, threads), rows) < 1e-5);
      CHECK(error_of(w, x, product(w, x, rows, threads, bias), rows, bias) < 1e-5);
    }
  }
}

TEST_CASE_TEMPLATE("vector instructions compute the integers of the portable loop", Block, BlockQ8_0, BlockQ4_0) {
  using namespace cpu::detail;
  std::vector<std::int8_t> x;
  QuantizedGroup<Block> group;
  for (auto& scale : group.scales) scale = f16(1.0f);
  for (std::uint64_t trial = 0; trial < 200; ++trial) {
    x.clear();
    for (std::uint64_t i = 0; i < block_values; ++i) {  // extremes in the first trials
      const int v = trial < 4 ? (trial % 2 ? 127 : -127) : int(uniform_at(trial, i) * 255) - 127;
      x.push_back(static_cast<std::int8_t>(v));
    }
    for (std::size_t i = 0; i < group.bytes.size(); ++i)
      group.bytes[i] =
          static_cast<std::uint8_t>(trial < 4 ? (trial < 2 ? 0x80 : 0x7f) : uniform_at(trial + 1000, i) * 256);
    std::int32_t sums[std::size_t(group_rows)];
    group_integers(group, x.data(), sums);
    const float one = 1.0f;
    std::int32_t offset = 0;
    for (const std::int8_t v : x) offset += 8 * v;
    const QuantizedRows rows{x.data(), &one, &offset, 1, 1};
    float products[1][std::size_t(group_rows)];
    group_products<1>(&group, rows, 0, products);
    for (int r = 0; r < group_rows; ++r) CHECK(products[0][r] == float(sums[r]));
  }
}

TEST_CASE("activations are rounded to the nearest of 255 levels; NaN and infinity spread to the outputs") {
  cpu::Backend b(1);
  std::vector<float> x = numbers(64, 4);
  const cpu::detail::QuantizedRows rounded = cpu::detail::quantize_rows(b, Rows<const float>(x.data(), 1, 64));
  for (int i = 0; i < 64; ++i)
    CHECK(std::fabs(float(rounded.values[i]) * rounded.scales[i / 32] - x[std::size_t(i)]) <=
          0.501f * rounded.scales[i / 32]);
  const Weights<BlockQ4_0> w(9, 64);
  for (const float bad : {std::nanf(""), std::numeric_limits<float>::infinity()}) {
    x[40] = bad;
    for (const float y : product(w, x, 1, 1)) CHECK(std::isnan(y));
  }
  for (const float y : product(w, std::vector<float>(64, 0.0f), 1, 1)) CHECK(y == 0);
  for (const float y : product(w, std::vector<float>(64, 1e-42f), 1, 1)) CHECK(std::fabs(y) < 1e-30f);
}

TEST_CASE_TEMPLATE("the embedding gathers dequantized rows", Block, BlockQ8_0, BlockQ4_0) {
  const Weights<Block> w(19, 64);
  cpu::Backend b(2);
  const std::vector<int> ids{18, 0, 7, 8, 16};
  std::vector<float> x(ids.size() * 64);
  cpu::embedding(b, Rows<float>(x.data(), int(ids.size()), 64), ids.data(), w.matrix, 2.0f, int(ids.size()), {});
  for (std::size_t r = 0; r < ids.size(); ++r)
    for (std::size_t i = 0; i < 64; ++i) CHECK(x[r * 64 + i] == 2 * w.values[std::size_t(ids[r]) * 64 + i]);
}

TEST_CASE("classifier_loss of quantized weights is that of their values") {
  const int rows = 12, vocab = 41, cols = 64;
  const Weights<BlockQ8_0> w(vocab, cols);
  const std::vector<float> x = numbers(rows * cols, 5);
  std::vector<int> labels(rows, 3);
  labels[4] = ignored_label;
  cpu::Backend b(2);
  const Rows<const float> hidden(x.data(), rows, cols);
  const double expected =
      cpu::classifier_loss(b, hidden, Matrix<const float>{w.values.data(), vocab, cols}, labels.data(), 3.0f);
  CHECK(cpu::classifier_loss(b, hidden, w.matrix, labels.data(), 3.0f) == doctest::Approx(expected).epsilon(1e-6));
}
