#pragma once

#include "moderngpt2/backend/cuda/backend.hpp"
#include "moderngpt2/backend/cuda/kernels/gated_activation.cuh"
#include "moderngpt2/config/model_shape.hpp"
#include "moderngpt2/core/view.hpp"

namespace moderngpt2::cuda {

template <class T>
void gated_activation(Backend& b, Rows<T> h, ConstRows<T> gate_up, Activation a) {
  if (h.count == 0) return;
  GatedActivation<T>{.h = h, .gate_up = gate_up, .activation = a}.launch(b.stream());
}

template <class T>
void gated_activation_backward(Backend& b, Rows<T> d_gate_up, ConstRows<T> dh, ConstRows<T> gate_up, Activation a) {
  if (dh.count == 0) return;
  GatedActivationBackward<T>{.d_gate_up = d_gate_up, .dh = dh, .gate_up = gate_up, .activation = a}.launch(b.stream());
}

}  // namespace moderngpt2::cuda
