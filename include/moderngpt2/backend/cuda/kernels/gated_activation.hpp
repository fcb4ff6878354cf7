#pragma once

#include "moderngpt2/backend/cuda/runtime.hpp"
#include "moderngpt2/config/model_shape.hpp"
#include "moderngpt2/core/dtype.hpp"
#include "moderngpt2/core/view.hpp"

// Entries of kernels/gated_activation.cuh: plain data, all pointers to GPU memory.
namespace moderngpt2::cuda {

/// h = a(gate) * up
template <class T>
struct GatedActivation {
  Rows<T> h;              ///< (N,F)
  Rows<const T> gate_up;  ///< (N,2F)
  Activation activation;

  void launch(cudaStream_t stream) const;
};

/// d_gate = dh * up * a'(gate), d_up = dh * a(gate)
template <class T>
struct GatedActivationBackward {
  Rows<T> d_gate_up;      ///< (N,2F); may be gate_up itself
  Rows<const T> dh;       ///< (N,F)
  Rows<const T> gate_up;  ///< (N,2F)
  Activation activation;

  void launch(cudaStream_t stream) const;
};

}  // namespace moderngpt2::cuda
