#pragma once

#include <complex>

#include "moderngpt2/core/dtype.hpp"

namespace moderngpt2 {

/// Real type of a scalar: R for std::complex<R>, float for bf16 and f16, else T. The complex-step gradient check runs
/// models on complex numbers, with real sizes, rates and factors.
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

/// Type in which operations on elements of type T compute and in which sums, gains, logits and weight gradients are
/// stored: float for bf16 and f16, else T.
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

/// Real part of a scalar: x.real() of a complex number, otherwise x.
template <class T>
constexpr T real_part(T x) {
  return x;
}
template <class R>
constexpr R real_part(std::complex<R> x) {
  return x.real();
}

/// Type in which losses are summed: double for float and shorter types, else T.
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
