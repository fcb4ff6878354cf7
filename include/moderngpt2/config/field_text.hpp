#pragma once

#include <concepts>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

#include <fmt/core.h>

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

}  // namespace moderngpt2
