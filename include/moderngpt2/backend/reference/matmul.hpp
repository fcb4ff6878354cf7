#pragma once

#include "moderngpt2/backend/reference/backend.hpp"
#include "moderngpt2/core/view.hpp"

namespace moderngpt2::reference {

template <class T>
void matmul(Backend&, Rows<T> y, ConstRows<T> x, ConstMatrix<T> w, ConstVector<T> bias = {}) {
  for (int r = 0; r < y.count; ++r)
    for (int o = 0; o < w.rows; ++o) {
      T sum = bias ? bias.data[o] : T(0);
      for (int i = 0; i < w.cols; ++i) sum += x.row(r)[i] * w.data[std::int64_t(o) * w.cols + i];
      y.row(r)[o] = sum;
    }
}

template <class T>
void matmul_backward_input(Backend&, Rows<T> dx, ConstRows<T> dy, ConstMatrix<T> w, bool accumulate = false) {
  for (int r = 0; r < dx.count; ++r)
    for (int i = 0; i < w.cols; ++i) {
      T sum = accumulate ? dx.row(r)[i] : T(0);
      for (int o = 0; o < w.rows; ++o) sum += dy.row(r)[o] * w.data[std::int64_t(o) * w.cols + i];
      dx.row(r)[i] = sum;
    }
}

template <class T>
void matmul_backward_weight(Backend&, Matrix<T> dw, ConstRows<T> dy, ConstRows<T> x) {
  for (int o = 0; o < dw.rows; ++o)
    for (int i = 0; i < dw.cols; ++i) {
      T sum = T(0);
      for (int r = 0; r < x.count; ++r) sum += dy.row(r)[o] * x.row(r)[i];
      dw.data[std::int64_t(o) * dw.cols + i] += sum;
    }
}

template <class T>
void column_sum(Backend&, Vector<T> sums, ConstRows<T> x) {
  for (int r = 0; r < x.count; ++r)
    for (int i = 0; i < sums.size; ++i) sums.data[i] += x.row(r)[i];
}

}  // namespace moderngpt2::reference
