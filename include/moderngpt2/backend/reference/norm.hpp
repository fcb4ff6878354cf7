#pragma once

#include <cmath>
#include <vector>

#include "moderngpt2/backend/reference/operations.hpp"
#include "moderngpt2/core/scalar.hpp"
#include "moderngpt2/core/view.hpp"

namespace moderngpt2::reference {

namespace detail {

template <class T>
T reciprocal_rms(const T* x, int width, real_t<T> eps) {
  T sum = T(0);
  for (int i = 0; i < width; ++i) sum += x[i] * x[i];
  return T(1) / std::sqrt(sum / real_t<T>(width) + eps);
}

/// 1 + w of channel i; 1 for a norm without gain (null).
template <class T>
T gain(const T* w, int i) {
  return w ? T(1) + w[i] : T(1);
}

/// Backward pass of y = x rstd (1 + w) for one row: dx (+)= gradient of x, dw += gradient of w. Derivation:
/// docs/math.md.
template <class T>
void norm_row_backward(T* dx, T* dw, const T* dy, const T* x, const T* w, int width, real_t<T> eps, bool accumulate) {
  const T rstd = reciprocal_rms(x, width, eps);
  T mean = T(0);
  for (int i = 0; i < width; ++i) {
    mean += dy[i] * gain(w, i) * x[i] * rstd;
    if (dw) dw[i] += dy[i] * x[i] * rstd;
  }
  mean /= real_t<T>(width);
  for (int i = 0; i < width; ++i) {
    const T d = rstd * (dy[i] * gain(w, i) - x[i] * rstd * mean);
    dx[i] = accumulate ? dx[i] + d : d;
  }
}

}  // namespace detail

template <class T>
void rms_norm(Backend&, Rows<T> u, ConstRows<T> x, ConstVector<T> w, real_t<T> eps) {
  for (int r = 0; r < x.count; ++r) {
    const T rstd = detail::reciprocal_rms(x.row(r), x.width, eps);
    for (int i = 0; i < x.width; ++i) u.row(r)[i] = x.row(r)[i] * rstd * detail::gain(w.data, i);
  }
}

template <class T>
void rms_norm_backward(Backend&, Rows<T> dx, Vector<T> dw, ConstRows<T> du, ConstRows<T> x, ConstVector<T> w,
                       real_t<T> eps, bool accumulate) {
  for (int r = 0; r < x.count; ++r)
    detail::norm_row_backward(dx.row(r), dw.data, du.row(r), x.row(r), w.data, x.width, eps, accumulate);
}

template <class T>
void add_norm(Backend& b, Rows<T> x_out, Rows<T> u, ConstRows<T> x, Rows<T> y, ConstVector<T> post, ConstVector<T> next,
              real_t<T> eps, int time, const Dropout& d) {
  dropout(b, y, time, d);
  for (int r = 0; r < x.count; ++r) {
    const T rstd = detail::reciprocal_rms(y.row(r), x.width, eps);
    for (int i = 0; i < x.width; ++i) x_out.row(r)[i] = x.row(r)[i] + y.row(r)[i] * rstd * detail::gain(post.data, i);
  }
  rms_norm(b, u, ConstRows<T>(x_out), next, eps);
}

template <class T>
void add_norm_backward(Backend& b, Rows<T> dx, Rows<T> dy, Vector<T> dpost, Vector<T> dnext, ConstRows<T> du,
                       ConstRows<T> x_out, ConstRows<T> y, ConstVector<T> post, ConstVector<T> next, real_t<T> eps,
                       int time, const Dropout& d) {
  rms_norm_backward(b, dx, dnext, du, x_out, next, eps, true);
  rms_norm_backward(b, dy, dpost, ConstRows<T>(dx), y, post, eps, false);
  dropout(b, dy, time, d);
}

}  // namespace moderngpt2::reference
