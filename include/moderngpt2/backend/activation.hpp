#pragma once

#include <cmath>
#include <complex>
#include <concepts>
#include <numbers>
#include <string_view>
#include <tuple>
#include <type_traits>

#include "moderngpt2/config/activation.hpp"
#include "moderngpt2/core/dtype.hpp"
#include "moderngpt2/core/error.hpp"
#include "moderngpt2/core/scalar.hpp"

/// Specifier of functions that a GPU's kernels call too; empty unless nvcc compiles the file.
#ifdef __CUDACC__
#define MODERNGPT2_HOST_DEVICE __host__ __device__
#else
#define MODERNGPT2_HOST_DEVICE
#endif

// Activations are the values of the enumeration Activation, or functors: empty types with a name and a formula,
//
//   struct StarRelu {
//     static constexpr const char* name = "star_relu";
//     template <class T>
//     MODERNGPT2_HOST_DEVICE static ActivationValue<T> at(T x) {
//       using R = real_t<T>;
//       const T kept = real_part(x) > 0 ? x : T(0);
//       return {R(0.8944) * kept * kept - R(0.4472), R(1.7888) * kept};
//     }
//   };
//
// Operations take either. register_activation<StarRelu>() (backend/register_activation.hpp) gives a functor a value of
// the enumeration, by which config.json and command lines may name it.
namespace moderngpt2 {

/// Value and derivative of an activation function at one point.
template <class T>
struct ActivationValue {
  T value, slope;
};

/// Requirements on a functor A as an activation of scalars of type T: an empty type with static members `name`, the
/// text in config.json, and `at(x)`, value and derivative at x. `at` is called by several threads at once. Compare the
/// real_part() of scalars: the complex-step gradient check uses std::complex<double>.
template <class A, class T>
concept ActivationFor = std::is_empty_v<A> && std::default_initializable<A> && requires(T x) {
  { A::name } -> std::convertible_to<std::string_view>;
  { A::at(x) } -> std::same_as<ActivationValue<T>>;
};

/// Type of an operation's argument that selects the activation: Activation or a functor.
template <class A, class T>
concept ActivationChoice = std::same_as<A, Activation> || ActivationFor<A, T>;

namespace detail {

/// Does not compile if A lacks a member of an activation functor, and names it. `at` must accept float (all backends),
/// double and std::complex<double> (reference backend and gradient checks).
template <class A>
consteval bool require_activation_functor() {
  static_assert(std::is_empty_v<A> && std::default_initializable<A>,
                "an activation functor must be an empty struct that can be written A{}");
  static_assert(
      requires {
        { A::name } -> std::convertible_to<std::string_view>;
      },
      "an activation functor lacks the member `name`: static constexpr const char* name = \"...\";");
  constexpr bool callable = requires(float x) { A::at(x); };
  static_assert(callable,
                "an activation functor lacks the member `at`: template <class T> static ActivationValue<T> at(T x);");
  static_assert(!callable || ActivationFor<A, float>,
                "`at` of an activation functor must return ActivationValue<float>{value, derivative} for a float");
  static_assert(!callable || (ActivationFor<A, double> && ActivationFor<A, std::complex<double>>),
                "`at` of an activation functor must be a template on the scalar T that returns ActivationValue<T>, for "
                "double and std::complex<double> too");
  return true;
}

}  // namespace detail

/// erf of a complex number with an imaginary part h so small that erf(x + ih) = erf(x) + ih erf'(x) (complex step).
inline std::complex<double> complex_step_erf(std::complex<double> z) {
  const double x = z.real();
  return {std::erf(x), z.imag() * 2 * std::numbers::inv_sqrtpi * std::exp(-x * x)};
}
template <class T>
MODERNGPT2_HOST_DEVICE T error_function(T x) {
  if constexpr (std::is_same_v<T, real_t<T>>)
    return std::erf(x);
  else
    return complex_step_erf(x);
}

template <class T>
MODERNGPT2_HOST_DEVICE T sigmoid(T x) {
  return T(1) / (T(1) + std::exp(-x));
}

/// log(1 + e^x) without overflow.
template <class T>
MODERNGPT2_HOST_DEVICE T softplus(T x) {
  return real_part(x) > 20 ? x : std::log(T(1) + std::exp(x));
}

/// Formulas of a registered activation, compiled for each type of scalar and of elements on the CPU.
struct ActivationFunctions {
  template <class T>
  using At = ActivationValue<T> (*)(T x);
  /// Functions of a row of `width` elements, as gated_activation() and its backward pass on the CPU.
  template <class T>
  struct Rows {
    void (*forward)(T* h, const T* gate, const T* up, int width);
    void (*backward)(T* d_gate, T* d_up, const T* dh, const T* gate, const T* up, int width);
  };

  std::tuple<At<float>, At<double>, At<std::complex<double>>> at;
  std::tuple<Rows<float>, Rows<bf16>> rows;
};

/// Formulas of a registered activation. Throws Error for a value that is not registered.
inline const ActivationFunctions& registered_activation(Activation a) {
  if (const ActivationFunctions* functions = detail::activation_registry.functions(a)) return *functions;
  throw Error("activation {} is not registered: call register_activation<A>() before a model is made", int(a));
}

/// Value and derivative of an activation at x; built-in formulas of `ACT2FN` in Transformers.
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
  return std::get<ActivationFunctions::At<T>>(registered_activation(a).at)(x);
}

/// Value and derivative of a functor at x.
template <class T, ActivationFor<T> A>
ActivationValue<T> activate(A, T x) {
  return A::at(x);
}

}  // namespace moderngpt2
