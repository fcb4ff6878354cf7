#pragma once

#include "moderngpt2/backend/activation.hpp"
#include "moderngpt2/backend/cuda/backend.hpp"
#include "moderngpt2/backend/cuda/kernels/heads.cuh"
#include "moderngpt2/backend/cuda/kernels/user_activation.cuh"
#include "moderngpt2/core/abi.hpp"
#include "moderngpt2/core/view.hpp"

// Operations of classification heads, as listed in backend/host.hpp. Scores are few, so the kernels are simple.
namespace moderngpt2::cuda::inline MODERNGPT2_CUDA_ABI {

/// Queues y (N,C) = a(x).
template <class T, ActivationChoice<float> A>
void activation(Backend& b, Rows<T> y, ConstRows<T> x, A a) {
  if (y.count == 0) return;
  const ActivateRows<T> call{.y = y, .x = x, .kind = detail::kernel_choice(a), .slope = false};
  if (const auto* user = detail::user_launchers<T>(a))
    user->rows(call, b.stream());
  else
    call.launch(b.stream());
}

/// Queues dx (N,C) *= a'(x), in place.
template <class T, ActivationChoice<float> A>
void activation_backward(Backend& b, Rows<T> dx, ConstRows<T> x, A a) {
  if (dx.count == 0) return;
  const ActivateRows<T> call{.y = dx, .x = x, .kind = detail::kernel_choice(a), .slope = true};
  if (const auto* user = detail::user_launchers<T>(a))
    user->rows(call, b.stream());
  else
    call.launch(b.stream());
}

/// Queues out (n,C) = mean of each N / n consecutive rows of x (N,C).
template <class T>
void mean_rows(Backend& b, Rows<T> out, ConstRows<T> x) {
  if (out.count == 0) return;
  MeanRows<T>{.out = out, .x = x}.launch(b.stream());
}

/// Queues dx (N,C) += dout (n,C) n / N, each row of dout for the N / n rows that it is the mean of.
template <class T>
void mean_rows_backward(Backend& b, Rows<T> dx, ConstRows<T> dout) {
  if (dx.count == 0) return;
  MeanRowsBackward<T>{.dx = dx, .dout = dout}.launch(b.stream());
}

}  // namespace moderngpt2::cuda::inline MODERNGPT2_CUDA_ABI
