#pragma once

#include <cstddef>
#include <exception>
#include <utility>

#include "moderngpt2/config/field.hpp"

namespace moderngpt2::test {

namespace detail {

/// Initializes a member of any type.
struct AnyValue {
  explicit AnyValue(std::size_t) {}
  template <class T>
  operator T() const {
    std::terminate();
  }
};

template <class S, std::size_t... I>
constexpr bool takes(std::index_sequence<I...>) {
  return requires { S{AnyValue(I)...}; };
}

}  // namespace detail

/// Number of members of an aggregate: the most initializers that it takes.
template <class S, std::size_t N = 0>
constexpr std::size_t count_members() {
  if constexpr (detail::takes<S>(std::make_index_sequence<N + 1>()))
    return count_members<S, N + 1>();
  else
    return N;
}

/// Number of rows of describe(S).
template <class S>
std::size_t count_rows() {
  std::size_t rows = 0;
  const S s{};
  describe(s, [&](const auto&, const Field&, const auto&...) { ++rows; });
  return rows;
}

}  // namespace moderngpt2::test
