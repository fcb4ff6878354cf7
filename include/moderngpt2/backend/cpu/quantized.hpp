#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <type_traits>
#include <utility>

#include "moderngpt2/backend/cpu/backend.hpp"
#include "moderngpt2/backend/cpu/embedding.hpp"
#include "moderngpt2/backend/cpu/gemm.hpp"
#include "moderngpt2/backend/cpu/losses.hpp"
#include "moderngpt2/backend/cpu/matmul.hpp"
#include "moderngpt2/backend/cpu/quantized_groups.hpp"
#include "moderngpt2/core/abi.hpp"
#include "moderngpt2/core/dropout.hpp"
#include "moderngpt2/core/error.hpp"
#include "moderngpt2/core/parallel.hpp"
#include "moderngpt2/core/quantized_matrix.hpp"
#include "moderngpt2/core/view.hpp"

// Operations on weights of quantized blocks: forward passes only, with activations in fp32.
namespace moderngpt2::cpu::inline MODERNGPT2_CPU_ABI {

/// Maximum number of rows whose product rounds activations to 8 bits. Integer products are faster than fp32 up to about
/// here, and a decoded text does not depend on the number of texts in its batch up to here.
inline constexpr int most_quantized_rows = 64;

namespace detail {

/// y[n, o] = x[n] . w[o] (+ bias[o]) for outputs [8 begin, 8 end) and all rows of x. A group of 8 outputs stays in the
/// L1 or L2 cache while the rows of x are multiplied with it, 4 at a time.
template <class Block>
void quantized_outputs(Rows<float> y, const QuantizedRows& x, Matrix<QuantizedValue<Block>> w, const float* bias,
                       int begin, int end) {
  for (int g = begin; g < end; ++g) {
    const QuantizedGroup<Block>* const group = w.group(g);
    const auto write = [&](int n, const float* sums) {
      float* const out = y.row(n) + std::int64_t(g) * group_rows;
      for (int r = 0; r < group_rows; ++r) out[r] = sums[r] + (bias ? bias[g * group_rows + r] : 0.0f);
    };
    const auto run = [&]<int N>(std::integral_constant<int, N>, int n) {
      float sums[std::size_t(N)][std::size_t(group_rows)];
      group_products<N>(group, x, n, sums);
      for (int i = 0; i < N; ++i) write(n + i, sums[i]);
    };
    int n = 0;
    for (; n + 4 <= x.count; n += 4) run(std::integral_constant<int, 4>{}, n);
    if (x.count - n == 3) run(std::integral_constant<int, 3>{}, n);
    if (x.count - n == 2) run(std::integral_constant<int, 2>{}, n);
    if (x.count - n == 1) run(std::integral_constant<int, 1>{}, n);
  }
}

/// Outputs of the rows of w that are in no group.
template <class Block>
void quantized_rest(Rows<float> y, const QuantizedRows& x, Matrix<QuantizedValue<Block>> w, const float* bias) {
  for (int o = w.groups() * group_rows; o < w.rows; ++o)
    for (int n = 0; n < x.count; ++n) y.row(n)[o] = row_product(w.row(o), x, n) + (bias ? bias[o] : 0.0f);
}

/// y (N,Out) = x (N,In) w^T (+ bias) for few rows: x is rounded to 8 bits in blocks of 32, and products are sums of
/// integers within a block.
template <class Block>
void quantized_matvec(Backend& b, Rows<float> y, Rows<const float> x, Matrix<QuantizedValue<Block>> w,
                      const float* bias) {
  constexpr std::int64_t grain = 1 << 16;  // minimum elements of w for each thread
  const QuantizedRows rounded = quantize_rows(b, x);
  const std::int64_t groups = std::max<std::int64_t>(grain / (std::int64_t(w.cols) * group_rows), 1);
  parallel_ranges(b.threads(), w.groups(), std::min<std::int64_t>(groups, 63),
                  [&](std::int64_t begin, std::int64_t end) {
                    quantized_outputs(y, rounded, w, bias, int(begin), int(end));
                    if (end == w.groups()) quantized_rest(y, rounded, w, bias);
                  });
}

/// Rows and columns of a tile of w that is expanded to fp32, at most.
inline constexpr int quantized_tile = 256;

/// y (N,Out) = x (N,In) w^T (+ bias) for many rows: tiles of w are expanded to fp32 once each, and multiplied by all
/// rows.
template <class Block>
void quantized_product(Backend& b, Rows<float> y, Rows<const float> x, Matrix<QuantizedValue<Block>> w,
                       const float* bias) {
  const std::int64_t threads = b.threads();
  const std::int64_t passes = (w.rows + threads * quantized_tile - 1) / (threads * quantized_tile);
  const std::int64_t rows = round_up((w.rows + threads * passes - 1) / (threads * passes), group_rows);
  float* const scratch = b.product_scratch<float>(threads * quantized_tile * quantized_tile);
  parallel_tasks(b.threads(), (w.rows + rows - 1) / rows, [&](std::int64_t task, int thread) {
    const ThreadScope alone(1);
    float* const tile = scratch + std::int64_t(thread) * quantized_tile * quantized_tile;
    const int first = int(task * rows), count = std::min(int(rows), w.rows - first);
    if (bias)
      for (int r = 0; r < y.count; ++r) std::copy_n(bias + first, count, y.row(r) + first);
    for (int at = 0; at < w.cols; at += quantized_tile) {
      const int depth = std::min(quantized_tile, w.cols - at);
      expand_tile(w, first, count, at, depth, tile);
      gemm(Transpose::no, Transpose::yes, y.count, count, depth, x.data + at, x.stride, tile, depth, y.data + first,
           y.stride, at > 0 || bias);
    }
  });
}

}  // namespace detail

template <class X, class Block>
void matmul(Backend& b, Rows<float> y, Rows<X> x, Matrix<QuantizedValue<Block>> w, Vector<const float> bias = {}) {
  if (y.count <= most_quantized_rows) return detail::quantized_matvec(b, y, Rows<const float>(x), w, bias.data);
  detail::quantized_product(b, y, Rows<const float>(x), w, bias.data);
}

template <class Block>
void embedding(Backend& b, Rows<float> x, const int* ids, Matrix<QuantizedValue<Block>> wte, float scale, int time,
               const Dropout& d) {
  parallel_ranges(b.threads(), x.count, 8, [&](std::int64_t begin, std::int64_t end) {
    for (int r = int(begin); r < end; ++r) {
      dequantize_matrix_row(wte, ids[r], x.row(r));
      vector_loop(x.width, [&](int i, auto part) { store(x.row(r) + i, load(x.row(r) + i, part) * scale, part); });
      if (d.active()) detail::drop_row(x.row(r), 0, x.width, r, time, d);
    }
  });
}

/// Sum of the losses, with logits from products as of a prefill.
template <class X, class Block>
double classifier_loss(Backend& b, Rows<X> hidden, Matrix<QuantizedValue<Block>> w, const int* labels, float softcap,
                       float smoothing = 0) {
  return detail::sum_chunks(b, hidden.count, w.rows, [&](int start, Rows<float> s, float* losses) {
    detail::quantized_product(b, s, Rows<const float>(hidden.slice(start, s.count)), w, nullptr);
    return detail::sum_row_losses(b, losses, s.count, [&](int r) {
      if (softcap > 0) detail::cap_row(s.row(r), s.width, softcap);
      return detail::cross_entropy_row(static_cast<float*>(nullptr), s.row(r), s.width, labels[start + r], softcap, 0,
                                       smoothing);
    });
  });
}

/// Quantized weights have no gradients: throws an Error.
template <class Block>
double classifier(Backend&, Rows<float>, Matrix<float>, ConstRows<float>, Matrix<QuantizedValue<Block>>, const int*,
                  float, float, float = 0) {
  throw Error("internal: the weights are {} blocks, which have no gradients", Block::name);
}

}  // namespace moderngpt2::cpu::inline MODERNGPT2_CPU_ABI
