#pragma once

#include <fmt/core.h>

#include "moderngpt2/core/error.hpp"

namespace moderngpt2 {

/// Marks a size that is known at run time only, like std::dynamic_extent and Eigen::Dynamic.
inline constexpr int dynamic = -1;

/// Size that is a compile-time constant N, or a run-time value if N is `dynamic`. Converts to int.
template <int N>
struct Extent {
  constexpr Extent(int n) {
    if (n != N) throw Error("a layer built for the size {} was given {}", N, n);
  }
  constexpr operator int() const { return N; }
};

template <>
struct Extent<dynamic> {
  int n;
  constexpr Extent(int value) : n(value) {}
  constexpr operator int() const { return n; }
};

/// Product of two sizes; dynamic if either is.
constexpr int extent_product(int a, int b) { return a == dynamic || b == dynamic ? dynamic : a * b; }

}  // namespace moderngpt2
