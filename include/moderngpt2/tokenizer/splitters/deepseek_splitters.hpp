#pragma once

#include "moderngpt2/tokenizer/splitters/match.hpp"

namespace moderngpt2::detail {

/// Matches of `\p{N}{1,3}`.
class ThreeDigitsSplitter {
 public:
  static constexpr bool covers = false;

  Match next(const char* p, const char* end) const {
    const char* begin = scan_.classes().find(p, end, number_class);
    return {begin, scan_.numbers<3>(begin, end)};
  }

 private:
  Scanner scan_;
};

/// Matches of deepseek_cjk (split_patterns.hpp): runs of kana and common Chinese characters.
class DeepSeekCjkSplitter {
 public:
  static constexpr bool covers = false;

  Match next(const char* p, const char* end) const {
    while (p != end && !is_member(p)) p += utf8_length(*p);
    const char* begin = p;
    while (p != end && is_member(p)) p += 3;
    return {begin, p};
  }

 private:
  static bool is_member(const char* p) {
    const auto byte = [&](int i) { return static_cast<char32_t>(static_cast<unsigned char>(p[i])); };
    if (byte(0) < 0xE3 || byte(0) > 0xE9) return false;
    const char32_t c = (byte(0) & 0x0F) << 12 | (byte(1) & 0x3F) << 6 | (byte(2) & 0x3F);
    return (c >= 0x3040 && c <= 0x30FF) || (c >= 0x4E00 && c <= 0x9FA5);
  }
};

/// Matches of deepseek_words (split_patterns.hpp). Numbers and control characters without a letter after them match
/// nothing.
class DeepSeekWordsSplitter {
 public:
  static constexpr bool covers = false;

  Match next(const char* p, const char* end) const {
    const CharacterClasses& classes = scan_.classes();
    while (p != end) {
      const char* next;
      const CharacterClass found = classes.read(p, next);
      if (const char* stop = piece_end(p, next, end, found)) return {p, stop};
      p = next;
    }
    return {end, end};
  }

 private:
  static constexpr CharacterClass word = letter_class | mark_class;

  static bool is_ascii_letter(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }

  const char* piece_end(const char* p, const char* next, const char* end, CharacterClass found) const {
    const CharacterClasses& classes = scan_.classes();
    const auto letters = [&](const char* at) { return scan_.skip_letters<Scanner::Letters::any>(at, end, word); };
    if (found & symbol_class) {
      if (next - p == 1 && next != end && is_ascii_letter(*next)) {
        while (next != end && is_ascii_letter(*next)) ++next;
        return next;
      }
      return symbols(next, end);
    }
    if (found & word) return letters(next);
    if (next != end && !(found & line_break_class)) {
      const char* after;
      const CharacterClass second = classes.read(next, after);
      if (second & word) return letters(after);
      if (*p == ' ' && (second & symbol_class)) return symbols(after, end);
    }
    return found & space_class ? scan_.spaces_or_lines<false>(p, end) : nullptr;
  }

  const char* symbols(const char* p, const char* end) const {
    p = scan_.classes().skip(p, end, symbol_class);
    while (p != end && Scanner::is_line_break(*p)) ++p;
    return p;
  }

  Scanner scan_;
};

}  // namespace moderngpt2::detail
