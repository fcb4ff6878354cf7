#pragma once

#include <algorithm>
#include <cmath>
#include <complex>
#include <cstdint>
#include <limits>

#include "moderngpt2/core/random.hpp"

namespace moderngpt2 {

/// Errors of values against expected ones; absolute errors where all expected values are 0.
struct Comparison {
  double relative_l2 = 0;   ///< |got - want| / |want|, Euclidean norms
  double relative_max = 0;  ///< largest |got - want| / largest |want|
};

/// Compares `n` values. Both errors are infinite if a value is NaN or infinite where another is expected.
template <class Got, class Want>
Comparison compare_values(const Got* got, const Want* want, std::int64_t n) {
  double error_squares = 0, squares = 0, largest_error = 0, largest = 0;
  for (std::int64_t i = 0; i < n; ++i) {
    const double a = double(got[i]), b = double(want[i]);
    if (a == b && !std::isfinite(b)) continue;
    const double error = std::abs(a - b);
    if (!std::isfinite(error)) {
      const double infinity = std::numeric_limits<double>::infinity();
      return {infinity, infinity};
    }
    error_squares += error * error;
    squares += b * b;
    largest_error = std::max(largest_error, error);
    largest = std::max(largest, std::abs(b));
  }
  return {std::sqrt(error_squares) / (squares > 0 ? std::sqrt(squares) : 1.0),
          largest_error / (largest > 0 ? largest : 1.0)};
}

/// Fills `n` values with random numbers of N(0, deviation^2), a pure function of (seed, index). The numbers are exact
/// in float, double and complex.
template <class T>
void fill_random(T* values, std::int64_t n, std::uint64_t seed, double deviation = 1) {
  for (std::int64_t i = 0; i < n; ++i) values[i] = T(float(deviation * normal_at(mix64(seed), std::uint64_t(i))));
}

/// df/dx by a central difference, with an error of about step^2 |f'''| / 6 + 1e-16 |f| / step. Restores x.
template <class F>
double central_difference(double& x, F&& f, double step = 1e-5) {
  const double at = x;
  x = at + step;
  const double up = f();
  x = at - step;
  const double down = f();
  x = at;
  return (up - down) / (2 * step);
}

/// df/dx by a complex step (Squire & Trapp 1998): without a difference, the step can be tiny and the derivative is
/// exact up to rounding. f must compute on complex numbers throughout. Restores x.
template <class F>
double complex_step(std::complex<double>& x, F&& f, double step = 1e-30) {
  const double at = x.real();
  x = {at, step};
  const double derivative = f().imag() / step;
  x = at;
  return derivative;
}

}  // namespace moderngpt2
