#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>

namespace moderngpt2 {

/// How far some values are from those expected. Where all expected values are 0, the errors are absolute.
struct Comparison {
  double relative_l2 = 0;   ///< |got - want| / |want|, Euclidean norms
  double relative_max = 0;  ///< largest |got - want| / largest |want|
};

/// Compares `n` values. Infinities must be equal; a value that is not finite where another is expected, NaN included,
/// makes both errors infinite.
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

}  // namespace moderngpt2
