#pragma once

#include "moderngpt2/backend/cuda/backend.hpp"
#include "moderngpt2/backend/cuda/kernels/gated_activation.cuh"
#include "moderngpt2/config/model_shape.hpp"
#include "moderngpt2/core/abi.hpp"
#include "moderngpt2/core/view.hpp"

namespace moderngpt2::cuda::inline MODERNGPT2_CUDA_ABI {

/// Queues h (N,F) = a(gate) * up, where gate_up (N,2F) holds gate and up side by side (Shazeer 2020, arXiv:2002.05202).
template <class T>
void gated_activation(Backend& b, Rows<T> h, ConstRows<T> gate_up, Activation a) {
  if (h.count == 0) return;
  GatedActivation<T>{.h = h, .gate_up = gate_up, .activation = a}.launch(b.stream());
}

/// Queues d_gate_up (N,2F) = gradient of gate_up for dh (N,F). d_gate_up may be gate_up.
template <class T>
void gated_activation_backward(Backend& b, Rows<T> d_gate_up, ConstRows<T> dh, ConstRows<T> gate_up, Activation a) {
  if (dh.count == 0) return;
  GatedActivationBackward<T>{.d_gate_up = d_gate_up, .dh = dh, .gate_up = gate_up, .activation = a}.launch(b.stream());
}

}  // namespace moderngpt2::cuda::inline MODERNGPT2_CUDA_ABI
