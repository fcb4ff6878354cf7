#pragma once

#include <cmath>
#include <vector>

#include "moderngpt2/backend/activation.hpp"
#include "moderngpt2/backend/calls.hpp"
#include "moderngpt2/backend/reference/operations.hpp"
#include "moderngpt2/core/scalar.hpp"
#include "moderngpt2/core/view.hpp"

namespace moderngpt2::reference {

template <class T>
sum_t<T> cross_entropy(Backend&, Rows<T> dlogits, ConstRows<T> logits, const int* labels, real_t<T> scale,
                       real_t<T> smoothing = 0) {
  sum_t<T> loss(0);
  for (int r = 0; r < logits.count; ++r) {
    const T* s = logits.row(r);
    const bool counted = labels[r] != ignored_label;
    real_t<T> largest = real_part(s[0]);
    for (int i = 1; i < logits.width; ++i)
      if (!(real_part(s[i]) <= largest)) largest = real_part(s[i]);
    T sum = T(0);
    for (int i = 0; i < logits.width; ++i) sum += std::exp(s[i] - largest);
    const T lse = largest + std::log(sum);
    const real_t<T> share = smoothing / real_t<T>(logits.width);  // label mass of each class
    if (counted) loss += (real_t<T>(1) - smoothing) * (lse - s[labels[r]]);
    if (counted && smoothing > 0)
      for (int i = 0; i < logits.width; ++i) loss += share * (lse - s[i]);
    if (dlogits.data)
      for (int i = 0; i < logits.width; ++i)
        dlogits.row(r)[i] =
            counted
                ? scale * (std::exp(s[i] - lse) - share - T(i == labels[r] ? real_t<T>(1) - smoothing : real_t<T>(0)))
                : T(0);
  }
  return loss;
}

template <class T>
sum_t<T> mean_squared_error(Backend&, Rows<T> dlogits, ConstRows<T> logits, const real_t<T>* targets, real_t<T> scale) {
  sum_t<T> loss(0);
  for (int r = 0; r < logits.count; ++r)
    for (int i = 0; i < logits.width; ++i) {
      const T difference = logits.row(r)[i] - targets[std::int64_t(r) * logits.width + i];
      loss += difference * difference;
      if (dlogits.data) dlogits.row(r)[i] = real_t<T>(2) * scale * difference;
    }
  return loss;
}

template <class T>
sum_t<T> binary_cross_entropy(Backend&, Rows<T> dlogits, ConstRows<T> logits, const real_t<T>* targets,
                              real_t<T> scale) {
  sum_t<T> loss(0);
  for (int r = 0; r < logits.count; ++r)
    for (int i = 0; i < logits.width; ++i) {
      const T s = logits.row(r)[i];
      const real_t<T> target = targets[std::int64_t(r) * logits.width + i];
      loss += softplus(s) - target * s;
      if (dlogits.data) dlogits.row(r)[i] = scale * (sigmoid(s) - target);
    }
  return loss;
}

template <class T>
void logits(Backend& b, Rows<T> out, ConstRows<T> hidden, ConstMatrix<T> w, real_t<T> softcap) {
  matmul(b, out, hidden, w);
  if (softcap > 0)
    for (int r = 0; r < out.count; ++r)
      for (int i = 0; i < out.width; ++i) out.row(r)[i] = softcap * std::tanh(out.row(r)[i] / softcap);
}

template <class T>
sum_t<T> classifier_loss(Backend& b, Rows<const T> hidden, ConstMatrix<T> w, const int* labels, real_t<T> softcap,
                         real_t<T> smoothing = 0) {
  std::vector<T> row(std::size_t(w.rows));
  sum_t<T> loss(0);
  for (int r = 0; r < hidden.count; ++r) {
    Rows<T> one(row.data(), 1, w.rows);
    logits(b, one, hidden.slice(r, 1), w, softcap);
    loss += cross_entropy(b, Rows<T>{}, ConstRows<T>(one), labels + r, real_t<T>(0), smoothing);
  }
  return loss;
}

template <class T>
sum_t<T> classifier(Backend& b, Rows<T> dhidden, Matrix<T> dw, ConstRows<T> hidden, ConstMatrix<T> w, const int* labels,
                    real_t<T> softcap, real_t<T> scale, real_t<T> smoothing = 0) {
  std::vector<T> row(std::size_t(w.rows)), gradient(std::size_t(w.rows));
  sum_t<T> loss(0);
  for (int r = 0; r < hidden.count; ++r) {
    Rows<T> one(row.data(), 1, w.rows), d(gradient.data(), 1, w.rows);
    logits(b, one, hidden.slice(r, 1), w, softcap);
    loss += cross_entropy(b, d, ConstRows<T>(one), labels + r, scale, smoothing);
    if (softcap > 0)
      for (int i = 0; i < w.rows; ++i) {
        const T tanh = row[std::size_t(i)] / softcap;
        gradient[std::size_t(i)] *= T(1) - tanh * tanh;
      }
    matmul_backward_input(b, dhidden.slice(r, 1), ConstRows<T>(d), w);
    matmul_backward_weight(b, dw, ConstRows<T>(d), hidden.slice(r, 1));
  }
  return loss;
}

}  // namespace moderngpt2::reference
