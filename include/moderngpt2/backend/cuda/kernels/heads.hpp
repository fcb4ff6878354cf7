#pragma once

#include "moderngpt2/backend/cuda/runtime.hpp"
#include "moderngpt2/config/model_shape.hpp"
#include "moderngpt2/core/dtype.hpp"
#include "moderngpt2/core/view.hpp"

// Entries of kernels/heads.cuh, on few rows each: plain data, all pointers to GPU memory.
namespace moderngpt2::cuda {

/// y (N,C) = kind(x), or y *= kind'(x)
template <class T>
struct ActivateRows {
  Rows<T> y;
  Rows<const T> x;
  Activation kind;
  bool slope;

  void launch(cudaStream_t stream) const;
};

/// out (n,C) = mean of each N / n neighbouring rows of x (N,C)
template <class T>
struct MeanRows {
  Rows<T> out;
  Rows<const T> x;

  void launch(cudaStream_t stream) const;
};

/// dx (N,C) += dout (n,C) n / N
template <class T>
struct MeanRowsBackward {
  Rows<T> dx;
  Rows<const T> dout;

  void launch(cudaStream_t stream) const;
};

}  // namespace moderngpt2::cuda
