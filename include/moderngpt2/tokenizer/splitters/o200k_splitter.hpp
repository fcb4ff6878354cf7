#pragma once

#include "moderngpt2/tokenizer/splitters/match.hpp"

namespace moderngpt2::detail {

/// Matches of the patterns o200k (`digits` 3, `contractions`) and tekken (`digits` 1) of split_patterns.hpp, which
/// cover every text. A word is capitals and then small letters; letters without case and marks count as both.
template <int digits, bool contractions>
class O200kSplitter {
 public:
  static constexpr bool covers = true;

  Match next(const char* p, const char* end) const { return {p, p == end ? end : piece_end(p, end)}; }

 private:
  static constexpr CharacterClass upper = upper_class | mark_class, lower = lower_class | mark_class;

  const char* piece_end(const char* p, const char* end) const {
    constexpr CharacterClass not_symbol = space_class | letter_class | number_class;
    if (const char* stop = Scanner::ascii_word<Scanner::Letters::lower>(p, end)) return stop;
    const CharacterClasses& classes = scan_.classes();
    const char* next;
    CharacterClass found = classes.read(p, next);
    if (found & letter_class) return word(p, end);
    if (found & number_class) return scan_.numbers<digits - 1>(next, end);
    if (next != end && !(found & line_break_class)) {
      const char* after;
      const CharacterClass second = classes.read(next, after);
      if (second & (letter_class | mark_class)) {
        // A mark is the optional character before the word, but the word itself if only capitals follow.
        const char* word_end = after;
        if (!(found & mark_class) || small_word(next, end, word_end)) return word(next, end);
      } else if (*p == ' ' && !(second & not_symbol)) {
        found = second, next = after;
      }
    }
    if (found & mark_class) return word(p, end);
    if (found & space_class) return scan_.spaces_or_lines<false>(p, end);
    p = classes.find(next, end, not_symbol);
    while (p != end && (Scanner::is_line_break(*p) || *p == '/')) ++p;
    return p;
  }

  /// Finds the match of `[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+` at `p`. Without a match,
  /// `word_end` becomes the end of the capitals.
  bool small_word(const char* p, const char* end, const char*& word_end) const {
    const CharacterClasses& classes = scan_.classes();
    const char* after_both = nullptr;  // end of the last character that is capital and small
    while (p != end) {
      const char* next;
      const CharacterClass found = classes.read(p, next);
      if (!(found & upper)) {
        if (!(found & lower)) break;
        word_end = scan_.skip_letters<Scanner::Letters::lower>(next, end, lower);
        return true;
      }
      if (found & lower) after_both = next;
      p = next;
    }
    word_end = after_both ? after_both : p;
    return after_both;
  }

  const char* word(const char* p, const char* end) const {
    const char* word_end = p;
    small_word(p, end, word_end);
    if constexpr (contractions)
      if (word_end != end && *word_end == '\'') word_end += Scanner::contraction<true>(word_end, end);
    return word_end;
  }

  Scanner scan_;
};

}  // namespace moderngpt2::detail
