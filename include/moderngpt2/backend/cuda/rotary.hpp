#pragma once

#include "moderngpt2/backend/calls.hpp"
#include "moderngpt2/backend/cuda/backend.hpp"
#include "moderngpt2/backend/cuda/kernels/rotary.cuh"
#include "moderngpt2/core/view.hpp"

namespace moderngpt2::cuda {

namespace detail {

template <class T>
void turn(Backend& b, Rows<T> heads, const RotaryTable<float>& table, int time, int past, float scale, bool back) {
  if (heads.count == 0 || heads.width == 0) return;
  Rotary<T>{.heads = heads,
            .cosine = table.cosine,
            .sine = table.sine,
            .half = table.half,
            .time = time,
            .past = past,
            .scale = scale,
            .back = back}
      .launch(b.stream());
}

}  // namespace detail

template <class T>
void rotary(Backend& b, Rows<T> heads, const RotaryTable<float>& table, int time, int past, float scale) {
  detail::turn(b, heads, table, time, past, scale, false);
}

template <class T>
void rotary_backward(Backend& b, Rows<T> heads, const RotaryTable<float>& table, int time, int past, float scale) {
  detail::turn(b, heads, table, time, past, scale, true);
}

}  // namespace moderngpt2::cuda
