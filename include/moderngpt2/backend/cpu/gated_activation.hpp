#pragma once

#include <algorithm>
#include <cstdint>
#include <numbers>
#include <tuple>

#include "moderngpt2/backend/activation.hpp"
#include "moderngpt2/backend/cpu/backend.hpp"
#include "moderngpt2/backend/cpu/simd.hpp"
#include "moderngpt2/backend/with_activation.hpp"
#include "moderngpt2/core/abi.hpp"
#include "moderngpt2/core/parallel.hpp"
#include "moderngpt2/core/view.hpp"

namespace moderngpt2::cpu::inline MODERNGPT2_CPU_ABI {

namespace detail {

/// Value and derivative of a built-in activation on one register. Common functions are vectorized; the others use the
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

/// h = a(gate) * up for one row of `width` elements. `evaluate` computes value and derivative of a on a register.
template <auto evaluate, class T>
inline void gated_row(T* h, const T* gate, const T* up, int width) {
  vector_loop(width, [&](int i, auto part) {
    f32v value{}, slope{};
    evaluate(load(gate + i, part), value, slope);
    store(h + i, value * load(up + i, part), part);
  });
}

/// Gradients of gate and up for one row. d_gate and d_up may be gate and up (in place).
template <auto evaluate, class T>
inline void gated_row_backward(T* d_gate, T* d_up, const T* dh, const T* gate, const T* up, int width) {
  vector_loop(width, [&](int i, auto part) {
    f32v value{}, slope{};
    evaluate(load(gate + i, part), value, slope);
    const f32v d = load(dh + i, part), u = load(up + i, part);
    store(d_gate + i, d * u * slope, part);
    store(d_up + i, d * value, part);
  });
}

/// Functor with a vectorized form, `at_vector(x, value, slope)`, beside its scalar formula.
template <class A>
concept HasVectorForm = requires(f32v x, f32v& result) {
  A::at_vector(x, result, result);
};

template <class A>
inline void activate_functor(f32v x, f32v& value, f32v& slope) {
  A::at_vector(x, value, slope);
}

/// Values and derivatives of a functor at up to `size` elements, by its scalar formula in a loop over arrays, which the
/// compiler vectorizes if the formula allows.
template <class A>
struct FunctorBlock {
  static constexpr int size = 128;
  float x[size], value[size], slope[size];

  template <class T>
  FunctorBlock(const T* from, int n) {
    convert(x, from, n);
    if (n == size)
      evaluate(size);  // a constant, which g++ -O2 needs to vectorize
    else
      evaluate(n);
  }

 private:
  [[gnu::always_inline]] void evaluate(int n) {
    for (int i = 0; i < n; ++i) {
      const ActivationValue<float> at = A::at(x[i]);
      value[i] = at.value;
      slope[i] = at.slope;
    }
  }
};

/// gated_row() for a functor, as a function whose address a table may contain.
template <class A, class T>
void functor_row(T* h, const T* gate, const T* up, int width) {
  if constexpr (HasVectorForm<A>) {
    gated_row<activate_functor<A>>(h, gate, up, width);
  } else {
    for (int i = 0; i < width; i += FunctorBlock<A>::size) {
      const int n = std::min(width - i, FunctorBlock<A>::size);
      const FunctorBlock<A> a(gate + i, n);
      vector_loop(n,
                  [&](int j, auto part) { store(h + i + j, load(a.value + j, part) * load(up + i + j, part), part); });
    }
  }
}
/// gated_row_backward() for a functor.
template <class A, class T>
void functor_row_backward(T* d_gate, T* d_up, const T* dh, const T* gate, const T* up, int width) {
  if constexpr (HasVectorForm<A>) {
    gated_row_backward<activate_functor<A>>(d_gate, d_up, dh, gate, up, width);
  } else {
    for (int i = 0; i < width; i += FunctorBlock<A>::size) {
      const int n = std::min(width - i, FunctorBlock<A>::size);
      const FunctorBlock<A> a(gate + i, n);
      vector_loop(n, [&](int j, auto part) {
        const f32v d = load(dh + i + j, part), u = load(up + i + j, part);
        store(d_gate + i + j, d * u * load(a.slope + j, part), part);
        store(d_up + i + j, d * load(a.value + j, part), part);
      });
    }
  }
}

/// Row functions of a registered activation; null for a built-in one.
template <class T>
const ActivationFunctions::Rows<T>* registered_rows(Activation a) {
  return is_registered(a) ? &std::get<ActivationFunctions::Rows<T>>(registered_activation(a).rows) : nullptr;
}

}  // namespace detail

// Dispatch on the activation is inside of the loop over rows, so that only one parallel region is compiled.

template <class T>
void gated_activation(Backend& b, Rows<T> h, ConstRows<T> gate_up, Activation a) {
  const auto* const registered = detail::registered_rows<T>(a);
  parallel_ranges(b.threads(), h.count, 4, [&](std::int64_t begin, std::int64_t end) {
    for (int r = int(begin); r < end; ++r) {
      const T *gate = gate_up.row(r), *up = gate + h.width;
      if (registered)
        registered->forward(h.row(r), gate, up, h.width);
      else
        with_activation(a,
                        [&]<Activation A>() { detail::gated_row<detail::activate<A>>(h.row(r), gate, up, h.width); });
    }
  });
}

template <class T>
void gated_activation_backward(Backend& b, Rows<T> d_gate_up, ConstRows<T> dh, ConstRows<T> gate_up, Activation a) {
  const auto* const registered = detail::registered_rows<T>(a);
  parallel_ranges(b.threads(), dh.count, 4, [&](std::int64_t begin, std::int64_t end) {
    for (int r = int(begin); r < end; ++r) {
      const T *gate = gate_up.row(r), *up = gate + dh.width;
      T *d_gate = d_gate_up.row(r), *d_up = d_gate + dh.width;
      if (registered)
        registered->backward(d_gate, d_up, dh.row(r), gate, up, dh.width);
      else
        with_activation(a, [&]<Activation A>() {
          detail::gated_row_backward<detail::activate<A>>(d_gate, d_up, dh.row(r), gate, up, dh.width);
        });
    }
  });
}

template <class T, ActivationFor<float> A>
void gated_activation(Backend& b, Rows<T> h, ConstRows<T> gate_up, A) {
  parallel_ranges(b.threads(), h.count, 4, [&](std::int64_t begin, std::int64_t end) {
    for (int r = int(begin); r < end; ++r)
      detail::functor_row<A>(h.row(r), gate_up.row(r), gate_up.row(r) + h.width, h.width);
  });
}

template <class T, ActivationFor<float> A>
void gated_activation_backward(Backend& b, Rows<T> d_gate_up, ConstRows<T> dh, ConstRows<T> gate_up, A) {
  parallel_ranges(b.threads(), dh.count, 4, [&](std::int64_t begin, std::int64_t end) {
    for (int r = int(begin); r < end; ++r)
      detail::functor_row_backward<A>(d_gate_up.row(r), d_gate_up.row(r) + dh.width, dh.row(r), gate_up.row(r),
                                      gate_up.row(r) + dh.width, dh.width);
  });
}

}  // namespace moderngpt2::cpu::inline MODERNGPT2_CPU_ABI
