#pragma once

#include <bit>
#include <cstdint>

#include "moderngpt2/tokenizer/splitters/character_classes.hpp"

namespace moderngpt2::detail {

/// Match of a pattern: the characters from `begin` to `end`. At the end of the text without a further match, both are
/// the end of the text.
struct Match {
  const char* begin;
  const char* end;
};

/// Operations that the hand-written splitters share. Text is valid UTF-8.
class Scanner {
 public:
  /// Kind of ASCII letters that a run contains.
  enum class Letters { any, lower };

  const CharacterClasses& classes() const { return *classes_; }

  static bool is_line_break(char c) { return c == '\n' || c == '\r'; }

  /// Fast path of most matches in Western texts: end of an ASCII word with an optional space before it, if both have at
  /// most 15 characters, or null if the match at `p` may be another. Letters::lower permits one capital, the first
  /// letter. Speed is limited by the operations between one match and the next, so few of them depend on `p`.
  template <Letters letters>
  static const char* ascii_word(const char* p, const char* end) {
    std::uint64_t words[2];
    if (std::endian::native != std::endian::little || end - p < static_cast<std::ptrdiff_t>(sizeof words))
      return nullptr;
    __builtin_memcpy(words, p, sizeof words);
    const bool has_space = (words[0] & 0xFF) == ' ';
    std::uint64_t outside = ~ascii_letters<letters>(words[0]) & high_bits;
    const std::uint64_t outside_next = ~ascii_letters<letters>(words[1]) & high_bits;
    if constexpr (letters == Letters::any) {
      outside &= ~(std::uint64_t{has_space} << 7);
    } else {
      const std::uint64_t all = ascii_letters<Letters::any>(words[0]);
      outside &= ~(has_space ? 0x80 | (all & 0x8000) : all & 0x80);
    }
    if (!(outside | outside_next)) return nullptr;
    const char* stop = p + (outside ? 0 : 8) + std::countr_zero(outside ? outside : outside_next) / 8;
    const auto after = static_cast<unsigned char>(*stop);
    if (letters == Letters::any) return stop - p > has_space && after < 0x80 ? stop : nullptr;
    return stop != p && stop[-1] >= 'a' && after < 0x80 && after != '\'' ? stop : nullptr;
  }

  /// End of a run of characters with a class in `classes`, which contains all ASCII letters, or the lower-case ones
  /// only. Reads eight letters at a time.
  template <Letters letters>
  const char* skip_letters(const char* p, const char* end, CharacterClass classes) const {
    if constexpr (std::endian::native == std::endian::little) {
      while (end - p >= 8) {
        std::uint64_t word;
        __builtin_memcpy(&word, p, sizeof word);
        const std::uint64_t outside = ~ascii_letters<letters>(word) & high_bits;
        if (outside) {
          p += std::countr_zero(outside) / 8;
          const auto lead = static_cast<unsigned char>(*p);
          if (lead < 0x80 && !(classes_->ascii(lead) & classes)) return p;
          break;
        }
        p += sizeof word;
      }
    }
    return classes_->skip(p, end, classes);
  }

  /// End of the match of `\s+(?!\S)|\s+` at `p`, a white space character: the run of white space, less its last
  /// character if the run has several and text follows.
  const char* spaces(const char* p, const char* end) const {
    const char* last = p;
    const char* at = p;
    while (at != end) {
      const char* next;
      if (!(classes_->read(at, next) & space_class)) return last == p ? at : last;
      last = at;
      at = next;
    }
    return end;
  }

  /// End of the match of `\s*[\r\n]+|\s+(?!\S)|\s+` at `p`, a white space character. With `whole_at_end`, `\s++$` comes
  /// first.
  template <bool whole_at_end>
  const char* spaces_or_lines(const char* p, const char* end) const {
    const char* last = p;
    const char* at = p;
    const char* after_line = nullptr;
    while (at != end) {
      const char* next;
      const CharacterClass found = classes_->read(at, next);
      if (!(found & space_class)) return after_line ? after_line : last == p ? at : last;
      if (found & line_break_class) after_line = next;
      last = at;
      at = next;
    }
    return !whole_at_end && after_line ? after_line : end;
  }

  /// Length of the match of `'s|'t|'re|'ve|'m|'ll|'d` at `p`, an apostrophe, or 0. Without regard to case, U+017F is an
  /// `s`, as in Oniguruma and PCRE2.
  template <bool any_case>
  static int contraction(const char* p, const char* end) {
    const auto left = end - p;
    if (left < 2) return 0;
    const auto letter = [](char c) { return any_case ? static_cast<char>(c | 0x20) : c; };
    switch (letter(p[1])) {
      case 's':
      case 't':
      case 'm':
      case 'd':
        return 2;
      case 'r':
      case 'v':
        return left > 2 && letter(p[2]) == 'e' ? 3 : 0;
      case 'l':
        return left > 2 && letter(p[2]) == 'l' ? 3 : 0;
      default:
        return any_case && left > 2 && p[1] == '\xC5' && p[2] == '\xBF' ? 3 : 0;
    }
  }

  /// End of a run of at most `most` numbers that begins at `p`.
  template <int most>
  const char* numbers(const char* p, const char* end) const {
    for (int n = 0; n < most && p != end; ++n) {
      const char* next;
      if (!(classes_->read(p, next) & number_class)) break;
      p = next;
    }
    return p;
  }

 private:
  static constexpr std::uint64_t every_byte = 0x0101010101010101u, high_bits = every_byte * 0x80;

  /// Highest bit of each byte that is an ASCII letter.
  template <Letters letters>
  static std::uint64_t ascii_letters(std::uint64_t word) {
    const std::uint64_t folded = letters == Letters::any ? word | every_byte * 0x20 : word;
    const std::uint64_t low = folded & every_byte * 0x7F;
    return (low + every_byte * (0x80 - 'a')) & ~(low + every_byte * (0x80 - 'z' - 1)) & ~word;
  }

  const CharacterClasses* classes_ = &CharacterClasses::get();
};

}  // namespace moderngpt2::detail
