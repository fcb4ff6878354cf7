#pragma once

#include <cmath>
#include <complex>
#include <numbers>

#include "moderngpt2/config/model_shape.hpp"
#include "moderngpt2/core/scalar.hpp"

namespace moderngpt2 {

/// erf of a complex number with an imaginary part h so small that erf(x + ih) = erf(x) + ih erf'(x) (complex step).
inline std::complex<double> complex_step_erf(std::complex<double> z) {
  const double x = z.real();
  return {std::erf(x), z.imag() * 2 * std::numbers::inv_sqrtpi * std::exp(-x * x)};
}
template <class T>
T error_function(T x) {
  if constexpr (std::is_same_v<T, real_t<T>>)
    return std::erf(x);
  else
    return complex_step_erf(x);
}

template <class T>
T sigmoid(T x) {
  return T(1) / (T(1) + std::exp(-x));
}

/// log(1 + e^x) without overflow.
template <class T>
T softplus(T x) {
  return real_part(x) > 20 ? x : std::log(T(1) + std::exp(x));
}

/// Value and derivative of an activation function at x; formulas of `ACT2FN` in Transformers.
template <class T>
struct ActivationValue {
  T value, slope;
};

template <class T>
ActivationValue<T> activate(Activation a, T x) {
  using R = real_t<T>;
  switch (a) {
    case Activation::gelu_tanh: {  // 0.5 x (1 + tanh(sqrt(2/pi) (x + 0.044715 x^3)))
      const R c = R(std::numbers::sqrt2 * std::numbers::inv_sqrtpi), d = R(0.044715);
      const T t = std::tanh(c * (x + d * x * x * x));
      return {R(0.5) * x * (T(1) + t),
              R(0.5) * (T(1) + t) + R(0.5) * x * (T(1) - t * t) * c * (T(1) + R(3) * d * x * x)};
    }
    case Activation::gelu: {  // x Phi(x)
      const T phi = R(0.5) * (T(1) + error_function(x / R(std::numbers::sqrt2)));
      const R norm = R(std::numbers::inv_sqrtpi / std::numbers::sqrt2);
      return {x * phi, phi + x * norm * std::exp(R(-0.5) * x * x)};
    }
    case Activation::quick_gelu: {  // x sigmoid(1.702 x)
      const T s = sigmoid(R(1.702) * x);
      return {x * s, s + R(1.702) * x * s * (T(1) - s)};
    }
    case Activation::silu: {
      const T s = sigmoid(x);
      return {x * s, s + x * s * (T(1) - s)};
    }
    case Activation::relu:
      return real_part(x) > 0 ? ActivationValue<T>{x, T(1)} : ActivationValue<T>{T(0), T(0)};
    case Activation::relu2:
      return real_part(x) > 0 ? ActivationValue<T>{x * x, R(2) * x} : ActivationValue<T>{T(0), T(0)};
    case Activation::mish: {  // x tanh(softplus(x))
      const T t = std::tanh(softplus(x));
      return {x * t, t + x * (T(1) - t * t) * sigmoid(x)};
    }
    case Activation::tanh: {
      const T t = std::tanh(x);
      return {t, T(1) - t * t};
    }
    case Activation::sigmoid: {
      const T s = sigmoid(x);
      return {s, s * (T(1) - s)};
    }
    case Activation::dynamic:
      break;
  }
  return {x, T(1)};
}

}  // namespace moderngpt2
