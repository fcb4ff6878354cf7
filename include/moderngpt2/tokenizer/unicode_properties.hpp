#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <iterator>
#include <map>
#include <span>
#include <vector>

#include "moderngpt2/tokenizer/unicode/character_sets.hpp"
#include "moderngpt2/tokenizer/unicode_classes.hpp"

namespace moderngpt2::detail {

/// Number of code points, surrogates included.
inline constexpr std::size_t code_point_count = 0x110000;

/// Small value for each code point: a table of two stages with blocks of 256, in which equal blocks are stored once.
template <class Value>
class CodePointTable {
 public:
  /// Table of `values`, one for each code point.
  explicit CodePointTable(const std::vector<Value>& values) {
    std::map<std::array<Value, block>, std::uint32_t> known;
    for (std::size_t i = 0; i < begins_.size(); ++i) {
      std::array<Value, block> content;
      std::copy_n(values.begin() + static_cast<std::ptrdiff_t>(i * block), block, content.begin());
      const auto [place, is_new] = known.try_emplace(content, static_cast<std::uint32_t>(values_.size()));
      if (is_new) values_.insert(values_.end(), content.begin(), content.end());
      begins_[i] = place->second;
    }
  }

  /// Value of a code point. `c` is at most U+10FFFF.
  Value operator[](char32_t c) const { return values_[begins_[c >> 8] + (c & 0xFF)]; }
  /// Value of an ASCII character: the first block is stored first.
  Value ascii(unsigned char c) const { return values_[c]; }

 private:
  static constexpr std::size_t block = 256;

  std::array<std::uint32_t, code_point_count / block> begins_;
  std::vector<Value> values_;
};

using CodePointMap = CodePointTable<std::uint8_t>;

/// Map with the value 1 for the members of a list of gap and length (see character_sets.hpp).
inline CodePointMap code_point_set(std::span<const std::uint32_t> ranges) {
  std::vector<std::uint8_t> values(code_point_count);
  std::size_t at = 0;
  for (std::size_t i = 0; i + 1 < ranges.size(); i += 2) {
    at += ranges[i];
    std::fill_n(values.begin() + static_cast<std::ptrdiff_t>(at), ranges[i + 1], std::uint8_t{1});
    at += ranges[i + 1];
  }
  return CodePointMap(values);
}

/// Map of a list of length and value that covers all code points.
inline CodePointMap code_point_map(std::span<const std::uint32_t> runs) {
  std::vector<std::uint8_t> values(code_point_count);
  std::size_t at = 0;
  for (std::size_t i = 0; i + 1 < runs.size(); i += 2) {
    std::fill_n(values.begin() + static_cast<std::ptrdiff_t>(at), runs[i], static_cast<std::uint8_t>(runs[i + 1]));
    at += runs[i];
  }
  return CodePointMap(values);
}

/// Whether StripAccents removes the character.
inline bool is_accent(char32_t c) {
  static const CodePointMap map = code_point_set(accent_ranges);
  return map[c];
}

/// Whether BertNormalizer removes the character with strip_accents.
inline bool is_nonspacing_mark(char32_t c) {
  static const CodePointMap map = code_point_set(nonspacing_mark_ranges);
  return map[c];
}

/// Whether BertNormalizer removes the character with clean_text: control and unassigned characters.
inline bool is_bert_removed(char32_t c) {
  static const CodePointMap map = code_point_set(bert_removed_ranges);
  return map[c];
}

/// Whether BertNormalizer puts spaces around the character with handle_chinese_chars.
constexpr bool is_bert_chinese(char32_t c) {
  return (c >= 0x4E00 && c <= 0x9FFF) || (c >= 0x3400 && c <= 0x4DBF) || (c >= 0x20000 && c <= 0x2A6DF) ||
         (c >= 0x2A700 && c <= 0x2B73F) || (c >= 0x2B740 && c <= 0x2B81F) || (c >= 0x2B920 && c <= 0x2CEAF) ||
         (c >= 0xF900 && c <= 0xFAFF) || (c >= 0x2F800 && c <= 0x2FA1F);
}

/// Whether the code point is unassigned in Unicode 9.0, the version of the normal forms.
inline bool is_after_unicode_9(char32_t c) {
  static const CodePointMap map = code_point_set(after_unicode_9_ranges);
  return map[c];
}

}  // namespace moderngpt2::detail
