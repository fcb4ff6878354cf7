#pragma once

#include <string>
#include <string_view>

#include "moderngpt2/core/utf8.hpp"
#include "moderngpt2/tokenizer/component.hpp"
#include "moderngpt2/tokenizer/pre_tokenizers/metaspace.hpp"
#include "moderngpt2/tokenizer/pre_tokenizers/split_behavior.hpp"
#include "moderngpt2/tokenizer/splitters/character_classes.hpp"

// Pre-tokenizers that split at characters of a class.

namespace moderngpt2::detail {

/// Splits a piece at each character of `classes`.
template <class Emit>
void split_at_class(Piece piece, CharacterClass classes, SplitBehavior behavior, Emit& emit) {
  const CharacterClasses& table = CharacterClasses::get();
  const char* end = piece.text.data() + piece.text.size();
  PieceSplitter<Emit> splitter(piece, behavior, false, emit);
  for (const char* p = table.find(piece.text.data(), end, classes); p != end; p = table.find(p, end, classes)) {
    const char* next = p + utf8_length(*p);
    splitter.match(p, next);
    p = next;
  }
  splitter.finish();
}

/// Pre-tokenizer Punctuation: splits at ASCII punctuation and symbols, and at the categories P* of Unicode 8.
class PunctuationPreTokenizer {
 public:
  static constexpr std::string_view type = "Punctuation";

  explicit PunctuationPreTokenizer(const Component& component)
      : behavior_(read_split_behavior(component, component.get_or<std::string>("behavior", "Isolated"))) {
    component.expect({"behavior"});
  }

  template <class Emit>
  void operator()(Piece piece, Emit&& emit) const {
    split_at_class(piece, punctuation_class, behavior_, emit);
  }

 private:
  SplitBehavior behavior_;
};

/// Pre-tokenizer Digits: makes a piece of each run of digits, or of each digit.
class DigitsPreTokenizer {
 public:
  static constexpr std::string_view type = "Digits";

  explicit DigitsPreTokenizer(const Component& component)
      : behavior_(component.get<bool>("individual_digits") ? SplitBehavior::isolated : SplitBehavior::contiguous) {
    component.expect({"individual_digits"});
  }

  template <class Emit>
  void operator()(Piece piece, Emit&& emit) const {
    split_at_class(piece, numeric_class, behavior_, emit);
  }

 private:
  SplitBehavior behavior_;
};

/// Pre-tokenizer CharDelimiterSplit: splits at one character, which is removed.
class CharDelimiterSplitPreTokenizer {
 public:
  static constexpr std::string_view type = "CharDelimiterSplit";

  explicit CharDelimiterSplitPreTokenizer(const Component& component)
      : delimiter_(read_character(component, "delimiter")) {
    component.expect({"delimiter"});
  }

  template <class Emit>
  void operator()(Piece piece, Emit&& emit) const {
    const std::string_view text = piece.text;
    for (std::size_t at = 0; at < text.size();) {
      const auto next = std::min(text.find(delimiter_, at), text.size());
      if (next > at) emit(part_of(piece, text.data() + at, text.data() + next));
      at = next + delimiter_.size();
    }
  }

 private:
  std::string delimiter_;
};

/// Pre-tokenizer FixedLength: makes pieces of a fixed number of characters; the last one may be shorter.
class FixedLengthPreTokenizer {
 public:
  static constexpr std::string_view type = "FixedLength";

  explicit FixedLengthPreTokenizer(const Component& component) : length_(component.get_or<std::int64_t>("length", 5)) {
    component.expect({"length"});
    if (length_ < 1) component.fail("length is {}, expected at least 1", length_);
  }

  template <class Emit>
  void operator()(Piece piece, Emit&& emit) const {
    const char* end = piece.text.data() + piece.text.size();
    for (const char* p = piece.text.data(); p != end;) {
      const char* begin = p;
      for (std::int64_t n = 0; n < length_ && p != end; ++n) p += utf8_length(*p);
      emit(part_of(piece, begin, p));
    }
  }

 private:
  std::int64_t length_;
};

}  // namespace moderngpt2::detail
