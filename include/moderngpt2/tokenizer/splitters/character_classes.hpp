#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "moderngpt2/core/separate_compilation.hpp"
#include "moderngpt2/core/utf8.hpp"
#include "moderngpt2/tokenizer/unicode/character_sets.hpp"
#include "moderngpt2/tokenizer/unicode/general_categories.hpp"
#include "moderngpt2/tokenizer/unicode_properties.hpp"

namespace moderngpt2::detail {

/// Properties of a character that pre-tokenizers distinguish: a set of bits.
using CharacterClass = std::uint16_t;

inline constexpr CharacterClass upper_class = 1;  ///< Lu, Lt; with lower_class: Lm, Lo
inline constexpr CharacterClass lower_class = 2;  ///< Ll; with upper_class: Lm, Lo
inline constexpr CharacterClass letter_class = upper_class | lower_class;
inline constexpr CharacterClass mark_class = 4;                ///< \p{M}
inline constexpr CharacterClass number_class = 8;              ///< \p{N}
inline constexpr CharacterClass space_class = 16;              ///< \s, line breaks included
inline constexpr CharacterClass line_break_class = 32;         ///< [\r\n]
inline constexpr CharacterClass symbol_class = 64;             ///< [\p{P}\p{S}]
inline constexpr CharacterClass word_class = 128;              ///< \w of the Whitespace pre-tokenizer
inline constexpr CharacterClass punctuation_class = 256;       ///< the Punctuation pre-tokenizer splits at it
inline constexpr CharacterClass bert_punctuation_class = 512;  ///< BertPreTokenizer splits at it
inline constexpr CharacterClass numeric_class = 1024;          ///< the Digits pre-tokenizer splits at it

/// Class of each character, in a two-stage table of about 150 kB, built on first use from the generated tables.
class CharacterClasses {
 public:
  static const CharacterClasses& get() {
    static const CharacterClasses classes;
    return classes;
  }

  CharacterClass operator[](char32_t c) const { return table_[c]; }
  CharacterClass ascii(unsigned char c) const { return table_.ascii(c); }

  /// Class of the character at `p` of valid text, whose end becomes `next`.
  CharacterClass read(const char* p, const char*& next) const {
    const auto byte = [&](int i) { return static_cast<char32_t>(static_cast<unsigned char>(p[i])); };
    const char32_t lead = byte(0);
    if (lead < 0x80) return next = p + 1, ascii(static_cast<unsigned char>(lead));
    if (lead < 0xE0) return next = p + 2, (*this)[(lead & 0x1F) << 6 | (byte(1) & 0x3F)];
    if (lead < 0xF0) return next = p + 3, (*this)[(lead & 0x0F) << 12 | (byte(1) & 0x3F) << 6 | (byte(2) & 0x3F)];
    return next = p + 4,
           (*this)[(lead & 0x07) << 18 | (byte(1) & 0x3F) << 12 | (byte(2) & 0x3F) << 6 | (byte(3) & 0x3F)];
  }

  /// End of the run of characters with a class in `classes` that begins at `p`.
  const char* skip(const char* p, const char* end, CharacterClass classes) const {
    return skip_while<true>(p, end, classes);
  }
  /// First character at or after `p` with a class in `classes`.
  const char* find(const char* p, const char* end, CharacterClass classes) const {
    return skip_while<false>(p, end, classes);
  }

 private:
  CharacterClasses() : table_(class_of_each()) {}

  /// Classes of all code points.
  static std::vector<CharacterClass> class_of_each();

  template <bool member>
  const char* skip_while(const char* p, const char* end, CharacterClass classes) const {
    while (p != end) {
      const auto lead = static_cast<unsigned char>(*p);
      const char* next = p + 1;
      const CharacterClass found = lead < 0x80 ? ascii(lead) : read(p, next);
      if (((found & classes) != 0) != member) break;
      p = next;
    }
    return p;
  }

  CodePointTable<CharacterClass> table_;
};

}  // namespace moderngpt2::detail

#ifndef MODERNGPT2_DECLARE_FILES

namespace moderngpt2::detail {

MODERNGPT2_INLINE std::vector<CharacterClass> CharacterClasses::class_of_each() {
  constexpr CharacterClass of_category[] = {0,
                                            0,
                                            0,
                                            0,
                                            0,
                                            lower_class,
                                            letter_class,
                                            letter_class,
                                            upper_class,
                                            upper_class,
                                            mark_class,
                                            mark_class,
                                            mark_class,
                                            number_class,
                                            number_class,
                                            number_class,
                                            symbol_class,
                                            symbol_class,
                                            symbol_class,
                                            symbol_class,
                                            symbol_class,
                                            symbol_class,
                                            symbol_class,
                                            symbol_class,
                                            symbol_class,
                                            symbol_class,
                                            symbol_class,
                                            space_class,
                                            space_class,
                                            space_class};
  static_assert(std::size(of_category) == std::size(general_category_names));
  std::vector<CharacterClass> all;
  all.reserve(code_point_count);
  constexpr std::span runs(general_category_runs);
  for (std::size_t i = 0; i + 1 < runs.size(); i += 2) all.insert(all.end(), runs[i], of_category[runs[i + 1]]);
  all.resize(code_point_count);
  const auto add = [&](std::span<const std::uint32_t> ranges, CharacterClass value) {
    std::size_t c = 0;
    for (std::size_t i = 0; i + 1 < ranges.size(); i += 2) {
      c += ranges[i];
      for (std::size_t n = 0; n < ranges[i + 1] && c < code_point_count; ++n) all[c++] |= value;
    }
  };
  add(word_ranges, word_class);
  add(punctuation_ranges, punctuation_class);
  add(bert_punctuation_ranges, bert_punctuation_class);
  add(numeric_ranges, numeric_class);
  for (const char32_t c : {U'\t', U'\n', U'\v', U'\f', U'\r', char32_t{0x85}}) all[c] |= space_class;
  for (const char32_t c : {U'\n', U'\r'}) all[c] |= line_break_class;
  return all;
}

}  // namespace moderngpt2::detail

#endif
