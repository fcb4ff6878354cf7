#pragma once

#include "moderngpt2/backend/cpu/backend.hpp"
#include "moderngpt2/backend/cpu/matvec.hpp"
#include "moderngpt2/backend/cpu/product.hpp"
#include "moderngpt2/backend/cpu/simd.hpp"
#include "moderngpt2/core/view.hpp"

namespace moderngpt2::cpu {

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

/// Threads share the columns, each sums all rows in order: the same bits for any thread count.
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

}  // namespace moderngpt2::cpu
