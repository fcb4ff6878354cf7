#pragma once

#include <charconv>
#include <cmath>
#include <concepts>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <system_error>
#include <type_traits>
#include <vector>

#include "moderngpt2/config/field_text.hpp"
#include "moderngpt2/core/error.hpp"
#include "moderngpt2/core/nearest_name.hpp"
#include "moderngpt2/core/separate_compilation.hpp"

// Conversion of command-line words to values.
namespace moderngpt2::detail {

template <class T>
struct OptionalTraits : std::false_type {
  using value_type = T;
};
template <class T>
struct OptionalTraits<std::optional<T>> : std::true_type {
  using value_type = T;
};

template <class T>
struct ListTraits : std::false_type {
  using value_type = T;
};
template <class T>
struct ListTraits<std::vector<T>> : std::true_type {
  using value_type = T;
};

template <class T>
concept OptionScalar = std::integral<T> || std::floating_point<T> || std::same_as<T, std::string> ||
    std::same_as<T, std::filesystem::path>;

/// A variable that a flag can set.
template <class T>
concept OptionTarget = OptionScalar<typename ListTraits<typename OptionalTraits<T>::value_type>::value_type> ||
    NamedEnum<typename OptionalTraits<T>::value_type>;

/// Name of a flag without dashes and value: "prompt" for --prompt=text; empty for other words.
inline std::string flag_of(const std::string& word) {
  return word.starts_with("--") ? word.substr(2, word.find('=') - 2) : std::string();
}

/// Whether a word after a flag is the next flag rather than the value: -h, or two dashes and no space. Negative
/// numbers,
/// "-" and quoted text with spaces are values.
inline bool looks_like_flag(std::string_view word) {
  return word == "-h" || (word.starts_with("--") && word.find(' ') == word.npos);
}

/// Parses true, 1, yes, on, or false, 0, no, off. Throws UsageError that names `flag` for another word.
bool parse_switch(const std::string& flag, std::string_view text);

/// Parses the whole of `text` as a T. Throws UsageError that names `flag`.
template <OptionScalar T>
T parse_option_value(const std::string& flag, const std::string& text) {
  if constexpr (std::same_as<T, bool>) {
    return parse_switch(flag, text);
  } else if constexpr (std::is_arithmetic_v<T>) {
    const char* first = text.data();
    const char* last = text.data() + text.size();
    if (first != last && *first == '+') ++first;
    T value{};
    const std::from_chars_result result = std::from_chars(first, last, value);
    if (result.ec == std::errc::result_out_of_range)
      throw UsageError("--{}: {} is outside the range of its type", flag, text);
    if (result.ec != std::errc() || result.ptr != last)
      throw UsageError("--{}: '{}' is not a {}number", flag, text, std::integral<T> ? "whole " : "");
    if constexpr (std::floating_point<T>) {
      if (!std::isfinite(value)) throw UsageError("--{}: '{}' is not a finite number", flag, text);
    }
    return value;
  } else {
    return T(text);
  }
}

/// Default placeholder of a value in --help: INT, FLOAT, PATH or TEXT.
template <class T>
std::string option_metavar() {
  if constexpr (std::integral<T>)
    return "INT";
  else if constexpr (std::floating_point<T>)
    return "FLOAT";
  else if constexpr (std::same_as<T, std::filesystem::path>)
    return "PATH";
  else
    return "TEXT";
}

}  // namespace moderngpt2::detail

#ifndef MODERNGPT2_DECLARE_COMMAND_LINE

namespace moderngpt2::detail {

MODERNGPT2_INLINE bool parse_switch(const std::string& flag, std::string_view text) {
  for (const std::string_view word : {"true", "True", "1", "yes", "on"})
    if (text == word) return true;
  for (const std::string_view word : {"false", "False", "0", "no", "off"})
    if (text == word) return false;
  throw UsageError("--{}: '{}' is neither true nor false", flag, text);
}

}  // namespace moderngpt2::detail

#endif
