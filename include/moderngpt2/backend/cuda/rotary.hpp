#pragma once

#include "moderngpt2/backend/calls.hpp"
#include "moderngpt2/backend/cuda/backend.hpp"
#include "moderngpt2/backend/cuda/kernels/rotary.cuh"
#include "moderngpt2/core/abi.hpp"
#include "moderngpt2/core/view.hpp"

namespace moderngpt2::cuda::inline MODERNGPT2_CUDA_ABI {

namespace detail {

template <class T>
void rotate(Backend& b, Rows<T> heads, const RotaryTable<float>& table, int time, int past, const int* pasts,
            float scale, bool back) {
  if (heads.count == 0 || heads.width == 0) return;
  Rotary<T>{.heads = heads,
            .cosine = table.cosine,
            .sine = table.sine,
            .half = table.half,
            .time = time,
            .past = past,
            .pasts = pasts,
            .scale = scale,
            .back = back}
      .launch(b.stream());
}

}  // namespace detail

/// Queues the rotation of each head of heads (BT,HD) by its row's position past + row % time, then a multiplication by
/// `scale`, in place (Su et al. 2021, arXiv:2104.09864). table: cosines and sines in GPU memory.
template <class T>
void rotary(Backend& b, Rows<T> heads, const RotaryTable<float>& table, int time, int past, float scale) {
  detail::rotate(b, heads, table, time, past, nullptr, scale, false);
}

/// Queues the rotation by positions pasts[row / time] + row % time; pasts (B) is in GPU memory.
template <class T>
void rotary(Backend& b, Rows<T> heads, const RotaryTable<float>& table, int time, const int* pasts, float scale) {
  detail::rotate(b, heads, table, time, 0, pasts, scale, false);
}

/// Queues the backward pass of rotary, in place: rotation by the negative angle, times `scale`.
template <class T>
void rotary_backward(Backend& b, Rows<T> heads, const RotaryTable<float>& table, int time, int past, float scale) {
  detail::rotate(b, heads, table, time, past, nullptr, scale, true);
}

}  // namespace moderngpt2::cuda::inline MODERNGPT2_CUDA_ABI
