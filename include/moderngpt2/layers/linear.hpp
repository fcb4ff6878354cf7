#pragma once

#include "moderngpt2/core/extent.hpp"
#include "moderngpt2/core/view.hpp"
#include "moderngpt2/layers/parameter.hpp"

namespace moderngpt2 {

/// Linear layer: y = x W^T (+ bias). W is (Out,In), as in PyTorch and in checkpoints.
template <int In, int Out>
struct Linear {
  [[no_unique_address]] Extent<In> in;
  [[no_unique_address]] Extent<Out> out;
  bool has_bias = false;
  Init init = Init::normal;

  template <class E>
  struct Params {
    Matrix<typename E::MatrixType> weight;  // (Out,In)
    Vector<typename E::VectorType> bias;    // (Out), null without bias
  };

  template <class E>
  constexpr void describe(Params<E>& p, auto& visitor) const {
    visitor.matrix("weight", p.weight, out, in, init);
    if (has_bias) visitor.vector("bias", p.bias, out);
  }

  /// Computes y (N,Out) from x (N,In).
  template <class B, class Y, class T, class E>
  void forward(B& b, Rows<Y> y, Rows<const T> x, const Params<E>& p) const {
    matmul(b, y, x, p.weight, p.bias);
  }

  /// Sets dx (N,In) to dy W, or adds it with accumulate_dx; skipped if dx is null. Adds the gradients of W and bias to
  /// `g`.
  template <class B, class T, class Y, class E, class G>
  void backward(B& b, Rows<T> dx, Rows<const Y> dy, Rows<const T> x, const Params<E>& p, const Params<G>& g,
                bool accumulate_dx = false) const {
    matmul_backward_weight(b, g.weight, dy, x);
    if (has_bias) column_sum(b, g.bias, dy);
    if (dx.data) matmul_backward_input(b, dx, dy, p.weight, accumulate_dx);
  }
};

}  // namespace moderngpt2
