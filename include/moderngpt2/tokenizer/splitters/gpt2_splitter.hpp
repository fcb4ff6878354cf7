#pragma once

#include "moderngpt2/tokenizer/splitters/match.hpp"

namespace moderngpt2::detail {

/// Matches of the patterns gpt2 and r50k (split_patterns.hpp), which cover every text.
class Gpt2Splitter {
 public:
  static constexpr bool covers = true;

  Match next(const char* p, const char* end) const { return {p, p == end ? end : piece_end(p, end)}; }

 private:
  const char* piece_end(const char* p, const char* end) const {
    constexpr CharacterClass not_symbol = space_class | letter_class | number_class;
    if (const char* stop = Scanner::ascii_word<Scanner::Letters::any>(p, end)) return stop;
    const CharacterClasses& classes = scan_.classes();
    if (*p == '\'')
      if (const int length = Scanner::contraction<false>(p, end)) return p + length;
    const char* next;
    CharacterClass found = classes.read(p, next);
    if (found & space_class) {
      if (*p != ' ' || end - p == 1) return scan_.spaces(p, end);
      const char* after;
      found = classes.read(next, after);
      if (found & space_class) return scan_.spaces(p, end);
      next = after;
    }
    if (found & letter_class) return scan_.skip_letters<Scanner::Letters::any>(next, end, letter_class);
    if (found & number_class) return classes.skip(next, end, number_class);
    return classes.find(next, end, not_symbol);
  }

  Scanner scan_;
};

}  // namespace moderngpt2::detail
