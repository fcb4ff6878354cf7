#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "moderngpt2/core/utf8.hpp"

namespace moderngpt2 {

/// U+2581 in UTF-8: SentencePiece's mark for a space.
inline constexpr std::string_view space_mark = "\xE2\x96\x81";
/// U+FFFD in UTF-8: replacement of invalid bytes.
inline constexpr std::string_view replacement_character = "\xEF\xBF\xBD";

namespace detail {

/// Whether three bytes at `text[at]` are a valid character whose lead byte allows any continuation (not E0 or ED).
inline bool is_plain_utf8_of_three(std::string_view text, std::size_t at) {
  if (at + 3 > text.size()) return false;
  const auto lead = static_cast<unsigned char>(text[at]);
  return lead > 0xE0 && lead < 0xF0 && lead != 0xED && is_utf8_continuation(text[at + 1]) &&
         is_utf8_continuation(text[at + 2]);
}

/// Whether the first six of eight bytes, loaded as a word, are two such characters.
inline bool starts_with_two_of_three(std::uint64_t word) {
  if constexpr (std::endian::native != std::endian::little) return false;
  if ((word & 0xC0C0F0C0C0F0u) != 0x8080E08080E0u) return false;
  const auto first = word & 0xF, second = word >> 24 & 0xF;
  return first != 0 && first != 0xD && second != 0 && second != 0xD;
}

}  // namespace detail

/// Number of leading bytes of `text` that are complete, valid characters.
inline std::size_t valid_utf8_prefix(std::string_view text) {
  std::size_t at = 0;
  while (at < text.size()) {
    std::uint64_t word;
    if (at + sizeof word <= text.size()) {  // ASCII, eight bytes at a time
      __builtin_memcpy(&word, text.data() + at, sizeof word);
      if (!(word & 0x8080808080808080u)) {
        at += sizeof word;
        continue;
      }
      if (detail::starts_with_two_of_three(word)) {
        at += 6;
        continue;
      }
    }
    if (detail::is_plain_utf8_of_three(text, at)) {  // most of Chinese, Japanese and Korean
      at += 3;
      continue;
    }
    const auto step = detail::utf8_step(text, at);
    if (!step.valid) break;
    at += step.length;
  }
  return at;
}

/// Replaces each maximal subpart of an ill-formed sequence by one U+FFFD, like Python's `bytes.decode("utf-8",
/// errors="replace")` and the W3C's decoder.
inline std::string replace_invalid_utf8(std::string_view text) {
  std::string result;
  result.reserve(text.size());
  while (true) {
    const auto good = valid_utf8_prefix(text);
    result.append(text.substr(0, good));
    if (good == text.size()) return result;
    result.append(replacement_character);
    text.remove_prefix(good + detail::utf8_step(text, good).length);
  }
}

}  // namespace moderngpt2
