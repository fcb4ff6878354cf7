#pragma once

#include "moderngpt2/backend/cuda/runtime.hpp"
#include "moderngpt2/core/view.hpp"

// Entry of kernels/softcap.cuh: plain data, all pointers to GPU memory.
namespace moderngpt2::cuda {

/// x (N,V) = cap tanh(x / cap), in place
template <class T>
struct SoftCap {
  Rows<T> x;
  float cap;

  void launch(cudaStream_t stream) const;
};

}  // namespace moderngpt2::cuda
