#pragma once

#include <numbers>

#include "moderngpt2/backend/activation.hpp"
#include "moderngpt2/backend/cpu/backend.hpp"
#include "moderngpt2/backend/cpu/simd.hpp"
#include "moderngpt2/backend/with_activation.hpp"
#include "moderngpt2/core/abi.hpp"
#include "moderngpt2/core/view.hpp"

namespace moderngpt2::cpu::inline MODERNGPT2_CPU_ABI {

namespace detail {

/// Value and derivative of an activation function on one register. Common functions are vectorized; the others use the
/// scalar formulas for each lane.
template <Activation A>
inline void activate(f32v x, f32v& value, f32v& slope) {
  if constexpr (A == Activation::gelu_tanh) {
    constexpr float c = float(std::numbers::sqrt2 * std::numbers::inv_sqrtpi), d = 0.044715f;
    const f32v square = x * x;
    const f32v t = hyperbolic_tangent(c * x * (1.0f + d * square));
    const f32v half = 0.5f * (1.0f + t);
    value = x * half;
    slope = half + 0.5f * x * (1.0f - t * t) * c * (1.0f + 3.0f * d * square);
  } else if constexpr (A == Activation::silu) {
    const f32v s = sigmoid(x);
    value = x * s;
    slope = s + value * (1.0f - s);
  } else if constexpr (A == Activation::quick_gelu) {
    const f32v s = sigmoid(1.702f * x);
    value = x * s;
    slope = s + 1.702f * value * (1.0f - s);
  } else if constexpr (A == Activation::sigmoid) {
    value = sigmoid(x);
    slope = value * (1.0f - value);
  } else if constexpr (A == Activation::tanh) {
    value = hyperbolic_tangent(x);
    slope = 1.0f - value * value;
  } else if constexpr (A == Activation::relu) {
    value = x > 0.0f ? x : f32v{};
    slope = x > 0.0f ? broadcast(1.0f) : f32v{};
  } else if constexpr (A == Activation::relu2) {
    const f32v kept = x > 0.0f ? x : f32v{};
    value = kept * kept;
    slope = 2.0f * kept;
  } else {
    for (int i = 0; i < lanes; ++i) {
      const auto scalar = moderngpt2::activate(A, float(x[i]));
      value[i] = scalar.value;
      slope[i] = scalar.slope;
    }
  }
}

/// h = A(gate) * up for one row of `width` elements.
template <Activation A, class T>
void gated_row(T* h, const T* gate, const T* up, int width) {
  vector_loop(width, [&](int i, auto part) {
    f32v value{}, slope{};
    activate<A>(load(gate + i, part), value, slope);
    store(h + i, value * load(up + i, part), part);
  });
}

/// Gradients of gate and up for one row. d_gate and d_up may be gate and up (in place).
template <Activation A, class T>
void gated_row_backward(T* d_gate, T* d_up, const T* dh, const T* gate, const T* up, int width) {
  vector_loop(width, [&](int i, auto part) {
    f32v value{}, slope{};
    activate<A>(load(gate + i, part), value, slope);
    const f32v d = load(dh + i, part), u = load(up + i, part);
    store(d_gate + i, d * u * slope, part);
    store(d_up + i, d * value, part);
  });
}

}  // namespace detail

// Dispatch on the activation is inside of the loop over rows, so that only one parallel region is compiled.

template <class T>
void gated_activation(Backend& b, Rows<T> h, ConstRows<T> gate_up, Activation a) {
  parallel_ranges(b.threads(), h.count, 4, [&](std::int64_t begin, std::int64_t end) {
    for (int r = int(begin); r < end; ++r) {
      const T* gate = gate_up.row(r);
      with_activation(a, [&]<Activation A>() { detail::gated_row<A>(h.row(r), gate, gate + h.width, h.width); });
    }
  });
}

template <class T>
void gated_activation_backward(Backend& b, Rows<T> d_gate_up, ConstRows<T> dh, ConstRows<T> gate_up, Activation a) {
  parallel_ranges(b.threads(), dh.count, 4, [&](std::int64_t begin, std::int64_t end) {
    for (int r = int(begin); r < end; ++r) {
      const T* gate = gate_up.row(r);
      T* d_gate = d_gate_up.row(r);
      with_activation(a, [&]<Activation A>() {
        detail::gated_row_backward<A>(d_gate, d_gate + dh.width, dh.row(r), gate, gate + dh.width, dh.width);
      });
    }
  });
}

}  // namespace moderngpt2::cpu::inline MODERNGPT2_CPU_ABI
