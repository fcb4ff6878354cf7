#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <type_traits>
#include <utility>

#include "moderngpt2/backend/cpu/backend.hpp"
#include "moderngpt2/backend/cpu/product.hpp"
#include "moderngpt2/backend/cpu/simd.hpp"
#include "moderngpt2/core/abi.hpp"
#include "moderngpt2/core/parallel.hpp"
#include "moderngpt2/core/view.hpp"

// Matrix products of linear layers. Products of few rows, as in decoding, are bound by reading the weights once, so
// they have a kernel that reads weights in place; a library's product would repack them first.
namespace moderngpt2::cpu::inline MODERNGPT2_CPU_ABI {

/// Maximum number of rows for matvec(). With more rows, arithmetic dominates and a library product is faster.
inline constexpr int most_matvec_rows = 8;

namespace detail {

/// Rows of w that matvec_outputs() multiplies with N rows of x at once. For one or two rows, and for rows in bf16,
/// reading w is the limit, and hardware prefetchers follow one long stream better than several short ones. More rows in
/// fp32 take more time to load than w; each register of x is then used for several products, whose sums fit the 32
/// registers of AVX-512.
template <int N, class X>
inline constexpr int matvec_outputs_at_once = lanes == 16 && N > 2 && std::is_same_v<const X, const float> ? 3 : 1;

/// y[n, o] = x[n] . w[o] (+ bias[o]) for outputs [o, o + M) and N rows of x. The order of the sums does not depend on
/// M. `next`: w's row that is read after these, to be brought to the L2 cache meanwhile.
template <int N, int M, class Y, class X, class W>
void matvec_block(Rows<Y> y, Rows<X> x, Matrix<W> w, const float* bias, int o, [[maybe_unused]] int next) {
  constexpr int chains = N < 4 ? 4 / N : 1;  // independent sums, to hide latency
  constexpr int step = products_at_once<X, W>, stride = chains * step;
  const W* rows[std::size_t(M)];
  for (int m = 0; m < M; ++m) rows[m] = w.data + std::int64_t(o + m) * w.cols;
  f32v sums[std::size_t(M)][std::size_t(N)][std::size_t(chains)] = {};
  int i = 0;
  for (; i + stride <= w.cols; i += stride) {
    if constexpr (M > 1)
      for (int m = 0; m < M * chains; ++m)
        __builtin_prefetch(w.data + std::int64_t(next) * w.cols + M * i + m * step, 0, 2);
    for (int c = 0; c < chains; ++c)
      for (int n = 0; n < N; ++n)
        for (int m = 0; m < M; ++m)
          sums[m][n][c] = add_products(sums[m][n][c], x.row(n) + i + c * step, rows[m] + i + c * step);
  }
  for (int m = 0; m < M; ++m) {
    vector_loop(w.cols - i, [&](int rest, auto part) {
      for (int n = 0; n < N; ++n) sums[m][n][0] += load(x.row(n) + i + rest, part) * load(rows[m] + i + rest, part);
    });
    for (int n = 0; n < N; ++n) {
      for (int c = 1; c < chains; ++c) sums[m][n][0] += sums[m][n][c];
      y.row(n)[o + m] = Y(sum(sums[m][n][0]) + (bias ? bias[o + m] : 0.0f));
    }
  }
}

/// y[n, o] = x[n] . w[o] (+ bias[o]) for outputs [first, last) and N rows of x.
template <int N, class Y, class X, class W>
void matvec_outputs(Rows<Y> y, Rows<X> x, Matrix<W> w, const float* bias, int first, int last) {
  constexpr int M = matvec_outputs_at_once<N, X>;
  int o = first;
  for (; o + M <= last; o += M) matvec_block<N, M>(y, x, w, bias, o, o + 2 * M <= last ? o + M : o);
  for (; o < last; ++o) matvec_block<N, 1>(y, x, w, bias, o, o);
}

}  // namespace detail

/// y (N,Out) = x (N,In) w^T (+ bias), for N up to most_matvec_rows.
template <class Y, class X, class W>
void matvec(Backend& b, Rows<Y> y, Rows<X> x, Matrix<W> w, const float* bias = nullptr) {
  constexpr std::int64_t grain = 1 << 16;  // minimum elements of w for each thread
  const std::int64_t outputs = std::max<std::int64_t>(grain / std::max(w.cols, 1), 1);
  parallel_ranges(b.threads(), w.rows, outputs, [&](std::int64_t begin, std::int64_t end) {
    const auto run = [&]<int... N>(std::integer_sequence<int, N...>) {
      ((x.count == N + 1 ? detail::matvec_outputs<N + 1>(y, x, w, bias, int(begin), int(end)) : void()), ...);
    };
    run(std::make_integer_sequence<int, most_matvec_rows>{});
  });
}

template <class Y, class X, class W>
void matmul(Backend& b, Rows<Y> y, Rows<X> x, Matrix<W> w, Vector<const float> bias = {}) {
  if (y.count <= most_matvec_rows) return matvec(b, y, x, w, bias.data);
  product(b, Transpose::no, Transpose::yes, y.count, w.rows, w.cols, x.data, x.stride, w.data, w.cols, y.data, y.stride,
          false, bias.data);
}

template <class DX, class DY, class W>
void matmul_backward_input(Backend& b, Rows<DX> dx, Rows<DY> dy, Matrix<W> w, bool accumulate = false) {
  product(b, Transpose::no, Transpose::no, dx.count, w.cols, w.rows, dy.data, dy.stride, w.data, w.cols, dx.data,
          dx.stride, accumulate);
}

template <class DY, class X>
void matmul_backward_weight(Backend& b, Matrix<float> dw, Rows<DY> dy, Rows<X> x) {
  product(b, Transpose::yes, Transpose::no, dw.rows, dw.cols, x.count, dy.data, dy.stride, x.data, x.stride, dw.data,
          dw.cols, true);
}

/// Each thread sums all rows, in order, for a part of the columns: results do not depend on the thread count.
template <class X>
void column_sum(Backend& b, Vector<float> sums, Rows<X> x) {
  parallel_ranges(b.threads(), sums.size, 64, [&](std::int64_t begin, std::int64_t end) {
    for (int r = 0; r < x.count; ++r)
      vector_loop(int(end - begin), [&](int i, auto part) {
        float* to = sums.data + begin + i;
        store(to, load(to, part) + load(x.row(r) + begin + i, part), part);
      });
  });
}

}  // namespace moderngpt2::cpu::inline MODERNGPT2_CPU_ABI
