#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "moderngpt2/core/utf8.hpp"
#include "moderngpt2/tokenizer/unicode/grapheme_breaks.hpp"
#include "moderngpt2/tokenizer/unicode_properties.hpp"

namespace moderngpt2::detail {

/// GraphemeBreak of a character, and its GraphemeRole in the upper four bits.
inline std::uint8_t grapheme_break(char32_t c) {
  static const CodePointMap map = code_point_map(grapheme_break_runs);
  return map[c];
}

/// End of the extended grapheme cluster that begins at `text[at]` (Unicode Standard Annex 29, rules GB3 to GB999).
inline std::size_t grapheme_end(std::string_view text, std::size_t at) {
  using enum GraphemeBreak;
  const auto read = [&](std::size_t begin, std::size_t& end) {
    const std::size_t length = utf8_length(text[begin]);
    end = begin + length;
    return grapheme_break(utf8_decode(text, begin, length));
  };
  const auto break_of = [](std::uint8_t value) { return static_cast<GraphemeBreak>(value & 0xF); };
  const auto role_of = [](std::uint8_t value) { return static_cast<GraphemeRole>(value >> 4); };
  std::size_t end = at;
  std::uint8_t value = read(at, end);
  GraphemeBreak before = break_of(value);
  bool odd_regional = before == Regional_Indicator;
  bool pictographic = role_of(value) == GraphemeRole::Pictographic, joined = false;  // Pictographic Extend*, then ZWJ
  bool consonant = role_of(value) == GraphemeRole::Consonant, linked = false;        // Consonant, then a Linker
  while (end < text.size()) {
    std::size_t next = end;
    value = read(end, next);
    const GraphemeBreak after = break_of(value);
    const GraphemeRole role = role_of(value);
    if (before == CR && after == LF) return next;
    if (before == Control || before == CR || before == LF || after == Control || after == CR || after == LF) return end;
    const bool same = (before == L && (after == L || after == V || after == LV || after == LVT)) ||
                      ((before == LV || before == V) && (after == V || after == T)) ||
                      ((before == LVT || before == T) && after == T) || after == Extend || after == ZWJ ||
                      after == SpacingMark || before == Prepend ||
                      (role == GraphemeRole::Consonant && consonant && linked) ||
                      (role == GraphemeRole::Pictographic && joined) ||
                      (after == Regional_Indicator && before == Regional_Indicator && odd_regional);
    if (!same) return end;
    joined = pictographic && after == ZWJ;
    pictographic = role == GraphemeRole::Pictographic || (pictographic && after == Extend);
    if (role == GraphemeRole::Consonant)
      consonant = true, linked = false;
    else if (role == GraphemeRole::Linker)
      linked = true;
    else if (role != GraphemeRole::InnerExtend)
      consonant = linked = false;
    odd_regional = after == Regional_Indicator && !(before == Regional_Indicator && odd_regional);
    before = after;
    end = next;
  }
  return end;
}

}  // namespace moderngpt2::detail
