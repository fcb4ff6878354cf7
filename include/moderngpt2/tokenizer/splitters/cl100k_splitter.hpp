#pragma once

#include "moderngpt2/tokenizer/splitters/match.hpp"

namespace moderngpt2::detail {

/// Matches of the patterns llama3 (`digits` 3), qwen2 (`digits` 1) and cl100k (`digits` 3, `whole_at_end`) of
/// split_patterns.hpp, which cover every text.
template <int digits, bool whole_at_end>
class Cl100kSplitter {
 public:
  static constexpr bool covers = true;

  Match next(const char* p, const char* end) const { return {p, p == end ? end : piece_end(p, end)}; }

 private:
  const char* piece_end(const char* p, const char* end) const {
    constexpr CharacterClass not_symbol = space_class | letter_class | number_class;
    if (const char* stop = Scanner::ascii_word<Scanner::Letters::any>(p, end)) return stop;
    const CharacterClasses& classes = scan_.classes();
    if (*p == '\'')
      if (const int length = Scanner::contraction<true>(p, end)) return p + length;
    const char* next;
    CharacterClass found = classes.read(p, next);
    if (found & letter_class) return scan_.skip_letters<Scanner::Letters::any>(next, end, letter_class);
    if (found & number_class) return scan_.numbers<digits - 1>(next, end);
    if (next != end && !(found & line_break_class)) {
      const char* after;
      const CharacterClass second = classes.read(next, after);
      if (second & letter_class) return scan_.skip_letters<Scanner::Letters::any>(after, end, letter_class);
      if (*p == ' ' && !(second & not_symbol)) found = second, next = after;
    }
    if (found & space_class) return scan_.spaces_or_lines<whole_at_end>(p, end);
    p = classes.find(next, end, not_symbol);
    while (p != end && Scanner::is_line_break(*p)) ++p;
    return p;
  }

  Scanner scan_;
};

}  // namespace moderngpt2::detail
