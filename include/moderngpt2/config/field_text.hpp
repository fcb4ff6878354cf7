#pragma once

#include <cmath>
#include <concepts>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

#include <fmt/core.h>

#include "moderngpt2/config/field.hpp"
#include "moderngpt2/core/error.hpp"

namespace moderngpt2 {

/// Enumeration with a word for each value: words_of(E), declared in its namespace, returns an array of pairs (word,
/// value).
template <class E>
concept NamedEnum = std::is_enum_v<E> && requires(E value) {
  words_of(value).begin()->first;
};

/// Text of a described member's value, as for defaults in --help: "on", "0.95", "1e-8", "en ja"; empty for an optional
/// without value. Two numbers have the same text only if they are equal.
template <class T>
std::string field_text(const T& value) {
  if constexpr (requires { value.has_value(); }) {
    return value ? field_text(*value) : std::string();
  } else if constexpr (std::same_as<T, bool>) {
    return value ? "on" : "off";
  } else if constexpr (std::same_as<T, std::filesystem::path>) {
    return value.string();
  } else if constexpr (std::floating_point<T>) {
    const std::string text = fmt::format("{}", value);
    const std::size_t mark = text.find("e-0");
    return mark == std::string::npos ? text : text.substr(0, mark) + "e-" + text.substr(mark + 3);
  } else if constexpr (NamedEnum<T>) {
    for (const auto& [word, known] : words_of(value))
      if (known == value) return std::string(word);
    return "";
  } else if constexpr (requires { typename T::value_type; } && !std::convertible_to<T, std::string_view>) {
    std::string text;
    for (const auto& item : value) text += (text.empty() ? "" : " ") + field_text(item);
    return text;
  } else {
    return fmt::format("{}", value);
  }
}

/// Text of the bounds of a number, such as "at least 1" or "more than 0 and at most 1"; empty without bounds.
inline std::string bounds_text(const Field& field) {
  std::string text;
  const auto add = [&](const char* words, const std::optional<double>& bound) {
    if (bound) text += fmt::format("{}{} {}", text.empty() ? "" : " and ", words, field_text(*bound));
  };
  add("at least", field.at_least);
  add("more than", field.more_than);
  add("at most", field.at_most);
  return text;
}

/// Describes the fault of a number that is not finite or out of the bounds of its row: "is 3, it must be at most 2".
/// Empty without a fault, for members of other types, and for optionals without a value.
template <class T>
std::string bounds_problem(const T& value, const Field& field) {
  if constexpr (requires { value.has_value(); }) {
    if (value) return bounds_problem(*value, field);
  } else if constexpr (std::is_arithmetic_v<T> && !std::same_as<T, bool>) {
    const double number = double(value);
    const bool fits = std::isfinite(number) && !(field.at_least && number < *field.at_least) &&
                      !(field.more_than && number <= *field.more_than) && !(field.at_most && number > *field.at_most);
    if (fits) return {};
    const std::string bounds = bounds_text(field);
    return fmt::format("is {}, it must be {}{}", field_text(value),
                       std::isfinite(number) || bounds.empty() ? "" : "finite, ", bounds.empty() ? "finite" : bounds);
  }
  return {};
}

/// Throws UsageError that names the member and the accepted values if bounds_problem() finds a fault.
template <class T>
void check_bounds(const T& value, const Field& field) {
  if (const std::string problem = bounds_problem(value, field); !problem.empty())
    throw UsageError("{} {}", Setting{field.name}, problem);
}

}  // namespace moderngpt2
