#pragma once

#include <complex>

#include "moderngpt2/core/dtype.hpp"

namespace moderngpt2 {

/// The real type behind a scalar: itself, or R for std::complex<R> (the complex-step gradient check runs the whole
/// model on complex numbers, with sizes, rates and factors still real).
template <class T>
struct RealOf {
  using type = T;
};
template <class R>
struct RealOf<std::complex<R>> {
  using type = R;
};
template <>
struct RealOf<bf16> {
  using type = float;
};
template <>
struct RealOf<f16> {
  using type = float;
};
template <class T>
using real_t = typename RealOf<T>::type;

/// The type in which an operation on elements of type T computes, and in which what must not be rounded is stored
/// (sums, gains, logits, gradients of weights): float for the short types, else T itself.
template <class T>
struct ComputeOf {
  using type = T;
};
template <>
struct ComputeOf<bf16> {
  using type = float;
};
template <>
struct ComputeOf<f16> {
  using type = float;
};
template <class T>
using compute_t = typename ComputeOf<T>::type;

template <class T>
constexpr T real_part(T x) {
  return x;
}
template <class R>
constexpr R real_part(std::complex<R> x) {
  return x.real();
}

/// The type in which losses are summed: double for float, T itself where T is already wide or complex.
template <class T>
struct SumOf {
  using type = T;
};
template <>
struct SumOf<float> {
  using type = double;
};
template <>
struct SumOf<bf16> {
  using type = double;
};
template <>
struct SumOf<f16> {
  using type = double;
};
template <class T>
using sum_t = typename SumOf<T>::type;

}  // namespace moderngpt2
