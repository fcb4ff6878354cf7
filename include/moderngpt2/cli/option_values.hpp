#pragma once

#include <algorithm>
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

#include <fmt/core.h>

#include "moderngpt2/core/error.hpp"

/// How the words of a command line become values, and values become the defaults that --help shows.
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

inline bool parse_switch(const std::string& flag, std::string_view text) {
  for (const std::string_view word : {"true", "True", "1", "yes", "on"})
    if (text == word) return true;
  for (const std::string_view word : {"false", "False", "0", "no", "off"})
    if (text == word) return false;
  throw UsageError("--{}: '{}' is neither true nor false", flag, text);
}

/// `text` as a T, the whole of it; throws UsageError naming `flag`.
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

/// The default as --help shows it; empty where there is none.
template <class T>
std::string print_option_value(const T& value) {
  if constexpr (OptionalTraits<T>::value) {
    return value ? print_option_value(*value) : std::string();
  } else if constexpr (ListTraits<T>::value) {
    std::string text;
    for (const auto& item : value) text += (text.empty() ? "" : " ") + print_option_value(item);
    return text;
  } else if constexpr (std::same_as<T, bool>) {
    return value ? "on" : "off";
  } else if constexpr (std::same_as<T, std::filesystem::path>) {
    return value.string();
  } else if constexpr (std::floating_point<T>) {
    const std::string text = fmt::format("{}", value);
    const std::size_t mark = text.find("e-0");
    return mark == std::string::npos ? text : text.substr(0, mark) + "e-" + text.substr(mark + 3);
  } else {
    return fmt::format("{}", value);
  }
}

/// The word that stands for a value in --help.
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

/// The number of insertions, deletions, replacements and swaps of neighbours that turn `a` into `b`.
inline std::size_t edit_distance(std::string_view a, std::string_view b) {
  std::vector<std::size_t> before(b.size() + 1), previous(b.size() + 1), current(b.size() + 1);
  for (std::size_t j = 0; j <= b.size(); ++j) previous[j] = j;
  for (std::size_t i = 1; i <= a.size(); ++i) {
    current[0] = i;
    for (std::size_t j = 1; j <= b.size(); ++j) {
      current[j] = std::min({previous[j] + 1, current[j - 1] + 1, previous[j - 1] + (a[i - 1] == b[j - 1] ? 0 : 1)});
      if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
        current[j] = std::min(current[j], before[j - 2] + 1);
    }
    std::swap(before, previous);
    std::swap(previous, current);
  }
  return previous[b.size()];
}

/// The one of `names` that `typed` most likely meant; empty where none is near.
inline std::string nearest_name(const std::string& typed, const std::vector<std::string>& names) {
  std::string plain = typed;
  std::replace(plain.begin(), plain.end(), '-', '_');
  std::string nearest;
  std::size_t smallest = std::max<std::size_t>(2, plain.size() / 3) + 1;
  for (const std::string& name : names) {
    std::size_t distance = edit_distance(plain, name);
    // A part of a long name is a likelier slip than its distance says: "epochs" for "num_train_epochs".
    const bool part = plain.size() >= 3 && name.find(plain) != std::string::npos;
    if (part) distance = std::min<std::size_t>(distance, 2);
    if (distance < smallest) {
      smallest = distance;
      nearest = name;
    }
  }
  return nearest;
}

}  // namespace moderngpt2::detail
