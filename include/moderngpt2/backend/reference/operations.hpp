#pragma once

#include <cstdint>
#include <vector>

#include "moderngpt2/backend/activation.hpp"
#include "moderngpt2/backend/calls.hpp"
#include "moderngpt2/core/scalar.hpp"
#include "moderngpt2/core/view.hpp"

namespace moderngpt2::reference {

/// Reference backend: plain loops on any scalar, in the order of the formulas. Tests compare other backends with it.
struct Backend {
  static constexpr const char* name = "reference";
  int threads() const { return 1; }
};

/// x (N,C) *= dropout factors; row r is position r % time of sequence r / time.
template <class T>
void dropout(Backend&, Rows<T> x, int time, const Dropout& d) {
  if (!d.active()) return;
  std::vector<real_t<T>> factors(std::size_t(x.width));
  for (int r = 0; r < x.count; ++r) {
    dropout_factors(d, r / time, 0, std::uint32_t(r % time), 0, x.width, factors.data());
    for (int i = 0; i < x.width; ++i) x.row(r)[i] *= factors[std::size_t(i)];
  }
}

template <class T>
void embedding(Backend& b, Rows<T> x, const int* ids, ConstMatrix<T> wte, real_t<T> scale, int time, const Dropout& d) {
  for (int r = 0; r < x.count; ++r)
    for (int i = 0; i < x.width; ++i) x.row(r)[i] = wte.data[std::int64_t(ids[r]) * wte.cols + i] * scale;
  dropout(b, x, time, d);
}

template <class T>
void embedding_backward(Backend&, Matrix<T> dwte, const int* ids, ConstRows<T> dx, real_t<T> scale, int time,
                        const Dropout& d) {
  std::vector<real_t<T>> factors(std::size_t(dx.width), real_t<T>(1));
  for (int r = 0; r < dx.count; ++r) {
    if (d.active()) dropout_factors(d, r / time, 0, std::uint32_t(r % time), 0, dx.width, factors.data());
    T* to = dwte.data + std::int64_t(ids[r]) * dwte.cols;
    for (int i = 0; i < dx.width; ++i) to[i] += dx.row(r)[i] * scale * factors[std::size_t(i)];
  }
}

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

/// Rotates each head of each row by the angle of its position, or back by `direction` -1. past(sequence): position of
/// the sequence's first row.
template <class T, class Past>
void rotate(Rows<T> heads, const RotaryTable<real_t<T>>& table, int time, Past&& past, real_t<T> scale,
            real_t<T> direction) {
  for (int r = 0; r < heads.count; ++r) {
    const std::int64_t at = std::int64_t(past(r / time) + r % time) * table.half;
    for (int h = 0; h < heads.width; h += 2 * table.half)
      for (int i = 0; i < table.half; ++i) {
        T &a = heads.row(r)[h + i], &b = heads.row(r)[h + i + table.half];
        const real_t<T> c = table.cosine[at + i] * scale, s = direction * table.sine[at + i] * scale;
        const T rotated_a = a * c - b * s, rotated_b = b * c + a * s;
        a = rotated_a, b = rotated_b;
      }
  }
}

template <class T>
void rotary(Backend&, Rows<T> heads, const RotaryTable<real_t<T>>& table, int time, int past, real_t<T> scale) {
  rotate(
      heads, table, time, [=](int) { return past; }, scale, real_t<T>(1));
}

template <class T>
void rotary(Backend&, Rows<T> heads, const RotaryTable<real_t<T>>& table, int time, const int* pasts, real_t<T> scale) {
  rotate(
      heads, table, time, [=](int sequence) { return pasts[sequence]; }, scale, real_t<T>(1));
}

template <class T>
void rotary_backward(Backend&, Rows<T> heads, const RotaryTable<real_t<T>>& table, int time, int past,
                     real_t<T> scale) {
  rotate(
      heads, table, time, [=](int) { return past; }, scale, real_t<T>(-1));
}

template <class T, ActivationChoice<T> A>
void gated_activation(Backend&, Rows<T> h, ConstRows<T> gate_up, A a) {
  for (int r = 0; r < h.count; ++r)
    for (int i = 0; i < h.width; ++i) h.row(r)[i] = activate(a, gate_up.row(r)[i]).value * gate_up.row(r)[h.width + i];
}

template <class T, ActivationChoice<T> A>
void gated_activation_backward(Backend&, Rows<T> d_gate_up, ConstRows<T> dh, ConstRows<T> gate_up, A a) {
  for (int r = 0; r < dh.count; ++r)
    for (int i = 0; i < dh.width; ++i) {
      const auto [value, slope] = activate(a, gate_up.row(r)[i]);
      const T up = gate_up.row(r)[dh.width + i], d = dh.row(r)[i];
      d_gate_up.row(r)[i] = d * up * slope;
      d_gate_up.row(r)[dh.width + i] = d * value;
    }
}

template <class T>
void gather_rows(Backend&, Rows<T> out, ConstRows<T> x, const int* index) {
  for (int r = 0; r < out.count; ++r)
    for (int i = 0; i < out.width; ++i) out.row(r)[i] = x.row(index[r])[i];
}

template <class T>
void scatter_rows_add(Backend&, Rows<T> dx, ConstRows<T> dout, const int* index) {
  for (int r = 0; r < dout.count; ++r)
    for (int i = 0; i < dout.width; ++i) dx.row(index[r])[i] += dout.row(r)[i];
}

template <class To, class From>
void cast(Backend&, To* to, const From* from, std::int64_t n) {
  for (std::int64_t i = 0; i < n; ++i) to[i] = To(from[i]);
}

template <class T>
void fill(Backend&, T* x, std::int64_t n, T value) {
  for (std::int64_t i = 0; i < n; ++i) x[i] = value;
}

}  // namespace moderngpt2::reference
