#pragma once

#include <string_view>

#include "moderngpt2/tokenizer/component.hpp"
#include "moderngpt2/tokenizer/pre_tokenizers/piece.hpp"
#include "moderngpt2/tokenizer/splitters/character_classes.hpp"

// Pre-tokenizers that remove white space.

namespace moderngpt2::detail {

/// Calls f(begin, end) for each run of characters other than white space.
template <class F>
void for_each_word(std::string_view text, F&& f) {
  const CharacterClasses& classes = CharacterClasses::get();
  const char* end = text.data() + text.size();
  for (const char* p = classes.skip(text.data(), end, space_class); p != end;) {
    const char* stop = classes.find(p, end, space_class);
    f(p, stop);
    p = classes.skip(stop, end, space_class);
  }
}

/// Pre-tokenizer Whitespace: makes pieces of the matches of `\w+|[^\w\s]+`.
class WhitespacePreTokenizer {
 public:
  static constexpr std::string_view type = "Whitespace";

  explicit WhitespacePreTokenizer(const Component& component) { component.expect({}); }

  template <class Emit>
  void operator()(Piece piece, Emit&& emit) const {
    const CharacterClasses& classes = CharacterClasses::get();
    for_each_word(piece.text, [&](const char* p, const char* end) {
      while (p != end) {
        const char* next;
        const bool is_word = classes.read(p, next) & word_class;
        next = is_word ? classes.skip(next, end, word_class) : classes.find(next, end, word_class);
        emit(part_of(piece, p, next));
        p = next;
      }
    });
  }
};

/// Pre-tokenizer WhitespaceSplit: makes pieces of the text between white space.
class WhitespaceSplitPreTokenizer {
 public:
  static constexpr std::string_view type = "WhitespaceSplit";

  explicit WhitespaceSplitPreTokenizer(const Component& component) { component.expect({}); }

  template <class Emit>
  void operator()(Piece piece, Emit&& emit) const {
    for_each_word(piece.text, [&](const char* begin, const char* end) { emit(part_of(piece, begin, end)); });
  }
};

/// Pre-tokenizer BertPreTokenizer: makes pieces of the text between white space, and of each punctuation character.
class BertPreTokenizer {
 public:
  static constexpr std::string_view type = "BertPreTokenizer";

  explicit BertPreTokenizer(const Component& component) { component.expect({}); }

  template <class Emit>
  void operator()(Piece piece, Emit&& emit) const {
    const CharacterClasses& classes = CharacterClasses::get();
    for_each_word(piece.text, [&](const char* p, const char* end) {
      while (p != end) {
        const char* next;
        if (!(classes.read(p, next) & bert_punctuation_class)) next = classes.find(next, end, bert_punctuation_class);
        emit(part_of(piece, p, next));
        p = next;
      }
    });
  }
};

}  // namespace moderngpt2::detail
