#pragma once

#include <algorithm>
#include <array>
#include <bitset>
#include <cstddef>
#include <cstdint>
#include <iterator>
#include <string>
#include <string_view>

#include "moderngpt2/core/separate_compilation.hpp"
#include "moderngpt2/core/utf8.hpp"
#include "moderngpt2/tokenizer/unicode/regex_replacements.hpp"

namespace moderngpt2::detail {

/// Replaces characters whose category differs between Unicode 14 and 16 by others of the same category in 16 and the
/// same length in UTF-8, so that PCRE2 matches as Unicode 16 does, whatever its version. Returns `text` if nothing
/// changes, else `storage`.
std::string_view replace_new_characters(std::string_view text, std::string& storage);

#ifndef MODERNGPT2_DECLARE_FILES

/// First two bytes of characters in regex_replacements, as index (first & 0x1F) << 6 | (second & 0x3F).
inline const std::bitset<2048>& new_character_starts() {
  static const std::bitset<2048> starts = [] {
    std::bitset<2048> result;
    for (std::size_t i = 0; i < std::size(regex_replacements); i += 3) {
      const char32_t first = regex_replacements[i], last = regex_replacements[i + 1];
      const char32_t step = first >= 0x10000 ? 0x1000 : 0x40;
      for (char32_t c = first / step * step; c <= last; c += step)
        result[first >= 0x10000 ? (0x10 | c >> 18) << 6 | (c >> 12 & 0x3F) : (c >> 12) << 6 | (c >> 6 & 0x3F)] = true;
    }
    return result;
  }();
  return starts;
}

MODERNGPT2_INLINE std::string_view replace_new_characters(std::string_view text, std::string& storage) {
  static_assert(regex_replacements[0] >= 0x800, "characters of two bytes need another index");
  const std::bitset<2048>& starts = new_character_starts();
  const std::size_t triples = std::size(regex_replacements) / 3;
  std::string_view result = text;
  for (std::size_t at = 0; at < text.size();) {
    std::uint64_t word;
    if (at + sizeof word <= text.size()) {
      __builtin_memcpy(&word, text.data() + at, sizeof word);
      if (!(word & 0x8080808080808080u)) {
        at += sizeof word;
        continue;
      }
    }
    const auto lead = static_cast<unsigned char>(text[at]);
    if (lead < 0xE0) {
      at += lead < 0x80 ? 1 : 2;
      continue;
    }
    const std::size_t length = lead < 0xF0 ? 3 : 4;
    const unsigned index = (lead & 0x1Fu) << 6 | (static_cast<unsigned char>(text[at + 1]) & 0x3Fu);
    if (starts[index]) {
      const char32_t c = utf8_decode(text, at, length);
      std::size_t low = 0, high = triples;  // the last triple that begins at or before c
      while (low < high) {
        const std::size_t middle = (low + high) / 2;
        if (regex_replacements[middle * 3] <= c)
          low = middle + 1;
        else
          high = middle;
      }
      if (low > 0 && c <= regex_replacements[low * 3 - 2]) {
        if (result.data() == text.data()) {
          storage.assign(text);
          result = storage;
        }
        std::uint32_t to = regex_replacements[low * 3 - 1];
        for (std::size_t i = length; i-- > 1; to >>= 6) storage[at + i] = static_cast<char>(0x80 | (to & 0x3F));
        storage[at] = static_cast<char>((length == 3 ? 0xE0 : 0xF0) | to);
      }
    }
    at += length;
  }
  return result;
}

#endif  // MODERNGPT2_DECLARE_FILES

}  // namespace moderngpt2::detail
