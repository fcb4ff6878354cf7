#include <bit>
#include <cmath>
#include <cstdint>
#include <limits>
#include <optional>
#include <type_traits>

#include <doctest/doctest.h>

#include "moderngpt2/core/dtype.hpp"

using namespace moderngpt2;

namespace {

/// Rounds x to the nearest short float by exhaustive search.
template <class Short>
std::uint16_t nearest(float x) {
  std::uint16_t best = 0;
  double best_distance = std::numeric_limits<double>::infinity();
  const std::uint16_t infinity = std::is_same_v<Short, bf16> ? 0x7f80 : 0x7c00;
  for (std::uint32_t bits = 0; bits <= infinity; ++bits) {
    double value = float(Short::from_bits(static_cast<std::uint16_t>(bits)));
    // Next value of the grid, for values that round to infinity.
    if (bits == infinity) value = 2.0 * float(Short::from_bits(infinity - 1)) - float(Short::from_bits(infinity - 2));
    const double distance = std::abs(value - std::abs(double(x)));
    if (distance > best_distance || (distance == best_distance && bits % 2 != 0)) continue;
    best = static_cast<std::uint16_t>(bits);
    best_distance = distance;
  }
  return static_cast<std::uint16_t>(best | (std::signbit(x) ? 0x8000 : 0));
}

template <class Short>
void check_all_values_survive() {
  int wrong = 0;
  for (std::uint32_t bits = 0; bits < 65536; ++bits) {
    const Short x = Short::from_bits(static_cast<std::uint16_t>(bits));
    const float wide = x;
    const Short back(wide);
    if (std::isnan(wide))
      wrong += !std::isnan(float(back));
    else
      wrong += back.bits != bits;
  }
  CHECK(wrong == 0);
}

}  // namespace

TEST_CASE_TEMPLATE("every short float widens and narrows to itself", Short, bf16, f16) {
  check_all_values_survive<Short>();
}

TEST_CASE_TEMPLATE("narrowing rounds to the nearest value, ties to even", Short, bf16, f16) {
  for (float x :
       {0.f,      -0.f,    1.f,     -1.f,    3.14159265f, 0.1f,        -1e-3f,         65504.f,        65519.99f,
        65520.f,  65536.f, 1e6f,    6.1e-5f, 6.09e-5f,    5.97e-8f,    2.99e-8f,       2.98023224e-8f, 2.9e-8f,
        8.94e-8f, 1e-30f,  3.3e38f, 3.4e38f, 1.00390625f, 1.01171875f, 1.00048828125f, 1.00146484375f, -4.7e-7f,
        1e-40f,   1e-45f})
    CHECK_MESSAGE(Short(x).bits == nearest<Short>(x), "x = ", x);
  for (std::uint32_t i = 0; i < 60; ++i) {
    const float x = std::bit_cast<float>(i * 71582788u + 12345u);
    if (!std::isnan(x)) CHECK_MESSAGE(Short(x).bits == nearest<Short>(x), "x = ", x);
  }
}

TEST_CASE_TEMPLATE("infinities and NaN stay what they are", Short, bf16, f16) {
  const float infinity = std::numeric_limits<float>::infinity();
  CHECK(float(Short(infinity)) == infinity);
  CHECK(float(Short(-infinity)) == -infinity);
  CHECK(std::isnan(float(Short(std::numeric_limits<float>::quiet_NaN()))));
  CHECK(std::isnan(float(Short(std::bit_cast<float>(0x7f800001u)))));  // payload in the lost bits only
  CHECK(std::isnan(float(Short(std::bit_cast<float>(0xffffffffu)))));
}

TEST_CASE("known bit patterns") {
  static_assert(bf16(1.0f).bits == 0x3f80);
  static_assert(f16(1.0f).bits == 0x3c00);
  static_assert(float(f16::from_bits(0x0001)) == 0x1p-24f);
  static_assert(float(f16::from_bits(0x7bff)) == 65504.0f);
  CHECK(f16(-2.0f).bits == 0xc000);
}

TEST_CASE("names and sizes go both ways") {
  for (const auto& entry : detail::dtype_table) {
    CHECK(&detail::dtype_table[static_cast<int>(entry.dtype)] == &entry);
    CHECK(dtype_from_name(dtype_name(entry.dtype)) == entry.dtype);
  }
  CHECK(dtype_from_name("F33") == std::nullopt);
  CHECK(dtype_from_name("f32") == std::nullopt);
  CHECK(dtype_size(Dtype::bf16) == 2);
  CHECK(dtype_size(Dtype::f64) == 8);
  CHECK(dtype_of<float> == Dtype::f32);
  CHECK(dtype_of<bf16> == Dtype::bf16);
  CHECK(dtype_of<std::int64_t> == Dtype::i64);
}
