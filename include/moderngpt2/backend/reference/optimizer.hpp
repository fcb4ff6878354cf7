#pragma once

#include <cmath>
#include <cstdint>

#include "moderngpt2/backend/calls.hpp"
#include "moderngpt2/backend/reference/operations.hpp"
#include "moderngpt2/core/scalar.hpp"

namespace moderngpt2::reference {

template <class T>
sum_t<T> sum_of_squares(Backend&, const T* x, std::int64_t n) {
  sum_t<T> sum(0);
  for (std::int64_t i = 0; i < n; ++i) sum += sum_t<T>(x[i]) * sum_t<T>(x[i]);
  return sum;
}

template <class T>
void adamw(Backend&, T* weight, T* first, T* second, const T* gradient, std::int64_t n, const AdamWStep& s) {
  const double correction1 = 1 - std::pow(s.beta1, double(s.step)), correction2 = 1 - std::pow(s.beta2, double(s.step));
  for (std::int64_t i = 0; i < n; ++i) {
    const double g = double(gradient[i]) * s.gradient_scale;
    first[i] = T(s.beta1 * first[i] + (1 - s.beta1) * g);
    second[i] = T(s.beta2 * second[i] + (1 - s.beta2) * g * g);
    const double update = first[i] / correction1 / (std::sqrt(second[i] / correction2) + s.epsilon);
    weight[i] = T(weight[i] * (1 - s.learning_rate * s.weight_decay) - s.learning_rate * update);
  }
}

}  // namespace moderngpt2::reference
