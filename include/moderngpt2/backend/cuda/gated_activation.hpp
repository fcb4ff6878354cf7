#pragma once

#include "moderngpt2/backend/activation.hpp"
#include "moderngpt2/backend/cuda/backend.hpp"
#include "moderngpt2/backend/cuda/kernels/gated_activation.cuh"
#include "moderngpt2/backend/cuda/kernels/user_activation.cuh"
#include "moderngpt2/core/abi.hpp"
#include "moderngpt2/core/view.hpp"

namespace moderngpt2::cuda::inline MODERNGPT2_CUDA_ABI {

/// Queues h (N,F) = a(gate) * up, where gate_up (N,2F) holds gate and up side by side (Shazeer 2020, arXiv:2002.05202).
template <class T, ActivationChoice<float> A>
void gated_activation(Backend& b, Rows<T> h, ConstRows<T> gate_up, A a) {
  if (h.count == 0) return;
  const GatedActivation<T> call{.h = h, .gate_up = gate_up, .activation = detail::kernel_choice(a)};
  if (const auto* user = detail::user_launchers<T>(a))
    user->gated(call, b.stream());
  else
    call.launch(b.stream());
}

/// Queues d_gate_up (N,2F) = gradient of gate_up for dh (N,F). d_gate_up may be gate_up.
template <class T, ActivationChoice<float> A>
void gated_activation_backward(Backend& b, Rows<T> d_gate_up, ConstRows<T> dh, ConstRows<T> gate_up, A a) {
  if (dh.count == 0) return;
  const GatedActivationBackward<T> call{
      .d_gate_up = d_gate_up, .dh = dh, .gate_up = gate_up, .activation = detail::kernel_choice(a)};
  if (const auto* user = detail::user_launchers<T>(a))
    user->gated_backward(call, b.stream());
  else
    call.launch(b.stream());
}

}  // namespace moderngpt2::cuda::inline MODERNGPT2_CUDA_ABI
