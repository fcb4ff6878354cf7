#pragma once

#include <algorithm>
#include <cstdint>
#include <utility>

#include "moderngpt2/backend/cpu/backend.hpp"
#include "moderngpt2/backend/cpu/simd.hpp"
#include "moderngpt2/core/parallel.hpp"
#include "moderngpt2/core/view.hpp"

// Products of few rows, as generation makes them. Their time is that of reading the weights once from memory, so the
// weights are read where they lie: a library's matrix product would first repack them.
namespace moderngpt2::cpu {

/// Most rows of x that a pass over the weights serves. Beyond, the arithmetic counts, and a matrix product is faster.
inline constexpr int most_matvec_rows = 8;

namespace detail {

/// y[n, o] = x[n] . w[o] (+ bias[o]) for outputs [first, last), Outs of them at a time and N rows of x: sums are made
/// lane by lane, in one order for any Outs.
template <int N, int Outs, class Y, class X, class W>
void matvec_outputs(Rows<Y> y, Rows<X> x, Matrix<W> w, const float* bias, int first, int last) {
  for (int o = first; o + Outs <= last; o += Outs) {
    f32v sums[N][Outs] = {};
    const auto* rows = w.data + std::int64_t(o) * w.cols;
    vector_loop(w.cols, [&](int i, auto part) {
      f32v weights[Outs];
      for (int j = 0; j < Outs; ++j) weights[j] = load(rows + std::int64_t(j) * w.cols + i, part);
      for (int n = 0; n < N; ++n) {
        const f32v values = load(x.row(n) + i, part);
        for (int j = 0; j < Outs; ++j) sums[n][j] += values * weights[j];
      }
    });
    for (int n = 0; n < N; ++n)
      for (int j = 0; j < Outs; ++j) y.row(n)[o + j] = Y(sum(sums[n][j]) + (bias ? bias[o + j] : 0.0f));
  }
}

template <int N, class Y, class X, class W>
void matvec_rows(Backend& b, Rows<Y> y, Rows<X> x, Matrix<W> w, const float* bias) {
  constexpr int outs = N == 1 ? 8 : 12 / N;  // that many accumulators keep the multipliers busy and fit the registers
  constexpr std::int64_t grain = 1 << 16;    // elements of w that are worth a thread
  parallel_ranges(b.threads(), w.rows, std::max<std::int64_t>(grain / std::max(w.cols, 1), 1),
                  [&](std::int64_t begin, std::int64_t end) {
                    const int rest = int(end - (end - begin) % outs);
                    matvec_outputs<N, outs>(y, x, w, bias, int(begin), rest);
                    matvec_outputs<N, 1>(y, x, w, bias, rest, int(end));
                  });
}

}  // namespace detail

/// y (N,Out) = x (N,In) w^T (+ bias), N at most most_matvec_rows.
template <class Y, class X, class W>
void matvec(Backend& b, Rows<Y> y, Rows<X> x, Matrix<W> w, const float* bias = nullptr) {
  const auto run = [&]<int... N>(std::integer_sequence<int, N...>) {
    ((x.count == N + 1 ? detail::matvec_rows<N + 1>(b, y, x, w, bias) : void()), ...);
  };
  run(std::make_integer_sequence<int, most_matvec_rows>{});
}

}  // namespace moderngpt2::cpu
