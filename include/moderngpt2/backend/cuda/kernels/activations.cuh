#pragma once

#include <type_traits>

#include "moderngpt2/backend/activation.hpp"
#include "moderngpt2/backend/cuda/device.cuh"
#include "moderngpt2/backend/with_activation.hpp"
#include "moderngpt2/config/model_shape.hpp"
#include "moderngpt2/core/abi.hpp"

#ifdef MODERNGPT2_CUDA_KERNELS

namespace moderngpt2::cuda::inline MODERNGPT2_CUDA_ABI::detail {

using ActivationAt = ActivationValue<float>;

MODERNGPT2_DEVICE float sigmoid(float x) { return 1.0f / (1.0f + expf(-x)); }

/// Formulas as in backend/activation.hpp.
template <Activation A>
MODERNGPT2_DEVICE ActivationAt activate(float x) {
  if constexpr (A == Activation::gelu_tanh) {
    constexpr float c = 0.7978845608f, d = 0.044715f;  // sqrt(2/pi)
    const float t = tanhf(c * x * (1.0f + d * x * x)), half = 0.5f * (1.0f + t);
    return {x * half, half + 0.5f * x * (1.0f - t * t) * c * (1.0f + 3.0f * d * x * x)};
  } else if constexpr (A == Activation::gelu) {
    const float phi = 0.5f * (1.0f + erff(x * 0.7071067812f));        // sqrt(1/2)
    return {x * phi, phi + x * 0.3989422804f * expf(-0.5f * x * x)};  // 1/sqrt(2 pi)
  } else if constexpr (A == Activation::quick_gelu) {
    const float s = sigmoid(1.702f * x);
    return {x * s, s + 1.702f * x * s * (1.0f - s)};
  } else if constexpr (A == Activation::silu) {
    const float s = sigmoid(x);
    return {x * s, s + x * s * (1.0f - s)};
  } else if constexpr (A == Activation::relu) {
    return {x > 0 ? x : 0.0f, x > 0 ? 1.0f : 0.0f};
  } else if constexpr (A == Activation::relu2) {
    const float kept = x > 0 ? x : 0.0f;
    return {kept * kept, 2.0f * kept};
  } else if constexpr (A == Activation::mish) {
    // tanh(log(1 + e)) = n / (n + 2) with n = e (e + 2); 1 in fp32 from x = 20 on
    const float e = expf(fminf(x, 20.0f)), n = e * (e + 2.0f), t = n / (n + 2.0f);
    return {x * t, t + x * (1.0f - t * t) * sigmoid(x)};
  } else if constexpr (A == Activation::tanh) {
    const float t = tanhf(x);
    return {t, 1.0f - t * t};
  } else {
    static_assert(A == Activation::sigmoid);
    const float s = sigmoid(x);
    return {s, s * (1.0f - s)};
  }
}

/// Formula type of the kernels of built-in activations, which are chosen by their value; kernels of a user's
/// activation have its functor type instead.
struct BuiltInFormulas {};

template <Activation A>
struct BuiltInFormula {
  MODERNGPT2_DEVICE static ActivationAt at(float x) { return activate<A>(x); }
};

/// Calls f.template operator()<Formula>() with a type whose static member at(x) is the formula: that of the built-in
/// activation `a` if A is BuiltInFormulas, otherwise A.
template <class A, class F>
MODERNGPT2_DEVICE void with_formula(Activation a, const F& f) {
  if constexpr (std::is_same_v<A, BuiltInFormulas>)
    with_activation(a, [&]<Activation B>() { f.template operator()<BuiltInFormula<B>>(); });
  else
    f.template operator()<A>();
}

}  // namespace moderngpt2::cuda::inline MODERNGPT2_CUDA_ABI::detail

#endif  // MODERNGPT2_CUDA_KERNELS
