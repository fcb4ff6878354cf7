#pragma once

#include <algorithm>

#include "moderngpt2/backend/cpu/backend.hpp"
#include "moderngpt2/backend/cpu/gemm.hpp"
#include "moderngpt2/backend/cpu/matvec.hpp"
#include "moderngpt2/backend/cpu/simd.hpp"
#include "moderngpt2/core/view.hpp"

namespace moderngpt2::cpu {

inline void matmul(Backend& b, Rows<float> y, Rows<const float> x, Matrix<const float> w,
                   Vector<const float> bias = {}) {
  if (y.count <= most_matvec_rows) return matvec(b, y, x, w, bias.data);
  ThreadScope threads(b.threads());
  if (bias)
    for (int r = 0; r < y.count; ++r) std::copy_n(bias.data, bias.size, y.row(r));
  gemm(Transpose::no, Transpose::yes, y.count, w.rows, w.cols, x.data, x.stride, w.data, w.cols, y.data, y.stride,
       bool(bias));
}

inline void matmul_backward_input(Backend& b, Rows<float> dx, Rows<const float> dy, Matrix<const float> w,
                                  bool accumulate = false) {
  ThreadScope threads(b.threads());
  gemm(Transpose::no, Transpose::no, dx.count, w.cols, w.rows, dy.data, dy.stride, w.data, w.cols, dx.data, dx.stride,
       accumulate);
}

inline void matmul_backward_weight(Backend& b, Matrix<float> dw, Rows<const float> dy, Rows<const float> x) {
  ThreadScope threads(b.threads());
  gemm(Transpose::yes, Transpose::no, dw.rows, dw.cols, x.count, dy.data, dy.stride, x.data, x.stride, dw.data, dw.cols,
       true);
}

/// Threads share the columns, each sums all rows in order: the same bits for any thread count.
inline void column_sum(Backend& b, Vector<float> sums, Rows<const float> x) {
  parallel_ranges(b.threads(), sums.size, 64, [&](std::int64_t begin, std::int64_t end) {
    for (int r = 0; r < x.count; ++r)
      vector_loop(int(end - begin), [&](int i, auto part) {
        float* to = sums.data + begin + i;
        store(to, load(to, part) + load(x.row(r) + begin + i, part), part);
      });
  });
}

}  // namespace moderngpt2::cpu
