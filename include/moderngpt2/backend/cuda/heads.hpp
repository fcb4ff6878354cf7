#pragma once

#include "moderngpt2/backend/cuda/backend.hpp"
#include "moderngpt2/backend/cuda/kernels/heads.cuh"
#include "moderngpt2/core/abi.hpp"
#include "moderngpt2/core/view.hpp"

// Operations of classification heads, as listed in backend/host.hpp. Scores are few, so the kernels are simple.
namespace moderngpt2::cuda::inline MODERNGPT2_CUDA_ABI {

/// Queues y (N,C) = a(x).
template <class T>
void activation(Backend& b, Rows<T> y, ConstRows<T> x, Activation a) {
  if (y.count == 0) return;
  ActivateRows<T>{.y = y, .x = x, .kind = a, .slope = false}.launch(b.stream());
}

/// Queues dx (N,C) *= a'(x), in place.
template <class T>
void activation_backward(Backend& b, Rows<T> dx, ConstRows<T> x, Activation a) {
  if (dx.count == 0) return;
  ActivateRows<T>{.y = dx, .x = x, .kind = a, .slope = true}.launch(b.stream());
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
