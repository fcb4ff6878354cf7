#pragma once

#include "moderngpt2/core/dtype.hpp"

namespace moderngpt2 {

/// Element types of one set of parameters: matrices (decayed) and vectors (norms and biases, not decayed).
template <class MatrixElement, class VectorElement = MatrixElement>
struct Elements {
  using MatrixType = MatrixElement;
  using VectorType = VectorElement;
};

/// Single precision throughout.
struct Fp32 {
  using Activation = float;
  using Weights = Elements<float>;
  using Gradients = Elements<float>;
};

/// bf16 for activations and matrices; fp32 for norms and biases, all gradients of weights, and what sums are made in.
struct Bf16 {
  using Activation = bf16;
  using Weights = Elements<bf16, float>;
  using Gradients = Elements<float>;
};

/// Any scalar, for the reference backend: double, or std::complex<double> for complex-step gradient checks.
template <class T>
struct Exact {
  using Activation = T;
  using Weights = Elements<T>;
  using Gradients = Elements<T>;
};

}  // namespace moderngpt2
