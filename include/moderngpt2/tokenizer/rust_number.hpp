#pragma once

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <string>

namespace moderngpt2::detail {

/// Number of a JSON file as Hugging Face `tokenizers` reads it: its digits as an integer, rounded to a double, which is
/// then multiplied or divided by a power of ten. Where the digits exceed 53 bits, the last bit may differ from the
/// nearest double, `number`. It decides between segmentations whose sums of scores are equal but for rounding.
inline double rust_number(double number) {
  if (!std::isfinite(number)) return number;
  std::array<char, 32> text{};
  const char* const end =
      std::to_chars(text.data(), text.data() + text.size(), std::abs(number), std::chars_format::scientific).ptr;
  const char* const mark = std::find(static_cast<const char*>(text.data()), end, 'e');
  std::uint64_t digits = 0;  // at most 17 decimal ones
  int exponent = 0;
  std::from_chars(mark[1] == '+' ? mark + 2 : mark + 1, end, exponent);
  for (const char* c = text.data(); c < mark; ++c) {
    if (*c == '.') continue;
    digits = digits * 10 + static_cast<std::uint64_t>(*c - '0');
    if (c > text.data()) --exponent;
  }
  constexpr int highest = 308;  // power of ten of a double
  static const auto powers = [] {
    std::array<double, highest + 1> table{};
    for (std::size_t i = 0; i < table.size(); ++i) {
      const std::string power = "1e" + std::to_string(i);
      std::from_chars(power.data(), power.data() + power.size(), table[i]);
    }
    return table;
  }();
  auto result = static_cast<double>(digits);
  if (exponent < -highest) {
    result /= powers[highest];
    exponent += highest;
  }
  const double power = powers[static_cast<std::size_t>(std::min(std::abs(exponent), highest))];
  result = exponent < 0 ? result / power : result * power;
  return std::signbit(number) ? -result : result;
}

}  // namespace moderngpt2::detail
