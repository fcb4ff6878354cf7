#pragma once

#include <cmath>

#include "moderngpt2/backend/activation.hpp"

// Activations as a program that uses the library would write them.
namespace moderngpt2::test {

/// StarReLU: 0.8944 relu(x)^2 - 0.4472 (Yu et al. 2022, arXiv:2210.13452), with a vectorized form for the CPU.
struct StarRelu {
  static constexpr const char* name = "star_relu";

  template <class T>
  MODERNGPT2_HOST_DEVICE static ActivationValue<T> at(T x) {
    using R = real_t<T>;
    const T kept = real_part(x) > 0 ? x : T(0);
    return {R(0.8944) * kept * kept - R(0.4472), R(1.7888) * kept};
  }

  template <class V>
  static void at_vector(V x, V& value, V& slope) {
    const V kept = x > 0.0f ? x : V{};
    value = 0.8944f * kept * kept - 0.4472f;
    slope = 1.7888f * kept;
  }
};

/// Snake: x + sin(x)^2 (Liu et al. 2020, arXiv:2006.08195).
struct Snake {
  static constexpr const char* name = "snake";

  template <class T>
  MODERNGPT2_HOST_DEVICE static ActivationValue<T> at(T x) {
    const T s = std::sin(x);
    return {x + s * s, T(1) + T(2) * s * std::cos(x)};
  }
};

}  // namespace moderngpt2::test
