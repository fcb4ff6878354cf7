#pragma once

#include <algorithm>
#include <cstddef>
#include <string>
#include <string_view>

#include "moderngpt2/core/utf8.hpp"

namespace moderngpt2 {

/// Maximum length of a message in bytes, before characters are escaped.
inline constexpr std::size_t max_message = 2000;

namespace detail {

/// Whether a terminal or log viewer may act on a character instead of showing it: C0 and C1 controls, line and
/// paragraph separators, and marks that change the direction of text (Trojan Source, CVE-2021-42574) or are invisible.
inline bool is_unprintable(char32_t c) {
  if (c < 0x20 || (c >= 0x7f && c < 0xa0)) return true;
  if (c == 0x61c || c == 0x200e || c == 0x200f || c == 0xfeff) return true;
  return (c >= 0x2028 && c <= 0x202e) || (c >= 0x2066 && c <= 0x206f) || (c >= 0xe0000 && c <= 0xe007f);
}

/// Appends `text` to `out` with unprintable characters as \xNN or \u{N}, and bytes that are not UTF-8 as \xNN.
inline void append_escaped(std::string_view text, std::string& out) {
  constexpr char digits[] = "0123456789abcdef";
  const auto append_byte = [&](char c) {
    const auto byte = static_cast<unsigned char>(c);
    out.append({'\\', 'x', digits[byte >> 4], digits[byte & 15]});
  };
  for (std::size_t at = 0; at < text.size();) {
    const Utf8Step step = utf8_step(text, at);
    const std::string_view bytes = text.substr(at, step.length);
    const char32_t c = step.valid ? utf8_decode(text, at, step.length) : 0;
    if (!step.valid || (step.length == 1 && is_unprintable(c))) {
      for (const char byte : bytes) append_byte(byte);
    } else if (is_unprintable(c)) {
      std::string number;
      for (char32_t rest = c; rest; rest >>= 4) number.insert(number.begin(), digits[rest & 15]);
      out += "\\u{" + number + "}";
    } else {
      out += bytes;
    }
    at += step.length;
  }
}

/// Largest position up to `at` that is not inside a character.
inline std::size_t character_boundary(std::string_view text, std::size_t at) {
  for (int i = 0; i < 3 && at > 0 && at < text.size() && is_utf8_continuation(text[at]); ++i) --at;
  return at;
}

}  // namespace detail

/// Returns `text` in a form that is safe on a terminal and in a log: one line, without control characters, with invalid
/// UTF-8 escaped. Of a text of more than `limit` bytes, "..." replaces the middle. Text that is already in this form is
/// unchanged.
inline std::string printable(std::string_view text, std::size_t limit = max_message) {
  std::string out;
  if (text.size() <= limit) {
    out.reserve(text.size());
    detail::append_escaped(text, out);
    return out;
  }
  // Both ends are kept: where something is wrong, and what to do.
  detail::append_escaped(text.substr(0, detail::character_boundary(text, limit - limit / 4)), out);
  out += "...";
  detail::append_escaped(text.substr(detail::character_boundary(text, text.size() - limit / 4)), out);
  return out;
}

/// Returns a text of several lines with each line printable().
inline std::string printable_lines(std::string_view text) {
  std::string out;
  while (true) {
    const std::size_t end = text.find('\n');
    out += printable(text.substr(0, end));
    if (end == text.npos) return out;
    out += '\n';
    text.remove_prefix(end + 1);
  }
}

/// Formats text from a file for a message: in quotes, printable, truncated after `limit` bytes.
inline std::string excerpt(std::string_view text, std::size_t limit = 80) {
  const std::size_t end = detail::character_boundary(text, std::min(text.size(), limit));
  std::string out = "\"";
  detail::append_escaped(text.substr(0, end), out);
  return out + (end < text.size() ? "...\"" : "\"");
}

}  // namespace moderngpt2
