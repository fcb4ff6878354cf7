#pragma once

#include <array>

#include "moderngpt2/core/view.hpp"

// Several Linear layers on the same input, with outputs side by side in one buffer. If their weights are adjacent in
// memory, one matrix product computes all of them. In flat buffers they are adjacent unless a size needs padding.
namespace moderngpt2 {

namespace detail {

/// Returns the matrices as one (sum of rows), or a null matrix if they are not adjacent in memory.
template <class T, std::size_t N>
Matrix<T> joined(const std::array<Matrix<T>, N>& parts) {
  Matrix<T> whole = parts[0];
  for (std::size_t i = 1; i < N; ++i) {
    if (!continues(whole, parts[i])) return {};
    whole.rows += parts[i].rows;
  }
  return whole;
}

}  // namespace detail

/// Computes y = x [W_0; W_1; ...]^T (+ biases), (N, sum of Out_i), from x (N,In).
template <class B, class T, class W, class V, std::size_t N>
void joint_forward(B& b, Rows<T> y, Rows<const T> x, const std::array<Matrix<W>, N>& weights,
                   const std::array<Vector<V>, N>& biases) {
  const Matrix<W> whole = detail::joined(weights);
  if (whole.data && !biases[0]) return matmul(b, y, x, whole);
  int first = 0;
  for (std::size_t i = 0; i < N; first += weights[i++].rows)
    matmul(b, y.columns(first, weights[i].rows), x, weights[i], biases[i]);
}

/// Sets dx (N,In) to dy [W_0; W_1; ...] and adds the gradients of weights and biases to d_weights and d_biases.
template <class B, class T, class W, class G, class V, std::size_t N>
void joint_backward(B& b, Rows<T> dx, Rows<const T> dy, Rows<const T> x, const std::array<Matrix<W>, N>& weights,
                    const std::array<Matrix<G>, N>& d_weights, const std::array<Vector<V>, N>& d_biases) {
  const Matrix<W> whole = detail::joined(weights);
  const Matrix<G> d_whole = detail::joined(d_weights);
  if (whole.data && d_whole.data) {
    matmul_backward_weight(b, d_whole, dy, x);
    matmul_backward_input(b, dx, dy, whole);
  }
  int first = 0;
  for (std::size_t i = 0; i < N; first += weights[i++].rows) {
    const Rows<const T> d = dy.columns(first, weights[i].rows);
    if (d_biases[i]) column_sum(b, d_biases[i], d);
    if (whole.data && d_whole.data) continue;
    matmul_backward_weight(b, d_weights[i], d, x);
    matmul_backward_input(b, dx, d, weights[i], i > 0);
  }
}

}  // namespace moderngpt2
