#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string>
#include <vector>

#include "moderngpt2/tokenizer/training/unicode_scripts.hpp"

namespace moderngpt2::detail {

/// Symbols of a SentencePiece BPE model in training: characters, and pieces joined from two symbols.
class SentencePieceSymbols {
 public:
  static constexpr unsigned most_characters = 16;  ///< SentencePiece's max_sentencepiece_length

  /// Adds a character. `is_space`: U+2581.
  std::uint32_t add_character(std::string text, std::uint8_t script, bool is_space) {
    const std::uint8_t bound = is_space || script == inherited_script ? any_script : script;
    symbols_.push_back({std::move(text), 1, bound, bound, is_space});
    return static_cast<std::uint32_t>(symbols_.size() - 1);
  }

  /// Whether two symbols side by side may become a piece: at most 16 characters, a space only at the beginning, and one
  /// script; characters of the script Inherited take the script before them.
  bool may_join(std::uint32_t left, std::uint32_t right) const {
    const Symbol& a = symbols_[left];
    const Symbol& b = symbols_[right];
    return a.characters + b.characters <= most_characters && !b.is_spaced &&
           (a.last == any_script || b.first == any_script || a.last == b.first);
  }

  std::uint32_t join(std::uint32_t left, std::uint32_t right) {
    const Symbol& a = symbols_[left];
    const Symbol& b = symbols_[right];
    symbols_.push_back({a.text + b.text, static_cast<std::uint8_t>(a.characters + b.characters),
                        a.first != any_script ? a.first : b.first, b.last != any_script ? b.last : a.last,
                        a.is_spaced});
    return static_cast<std::uint32_t>(symbols_.size() - 1);
  }

  const std::string& text(std::uint32_t symbol) const { return symbols_[symbol].text; }
  std::size_t size() const { return symbols_.size(); }

  /// Whether pair (a, b) comes after pair (c, d) of the same frequency: more characters, then the larger text, then the
  /// younger pair.
  bool pair_comes_after(std::uint32_t a, std::uint32_t b, std::uint32_t c, std::uint32_t d) const {
    const unsigned x = symbols_[a].characters + unsigned{symbols_[b].characters};
    const unsigned y = symbols_[c].characters + unsigned{symbols_[d].characters};
    if (x != y) return x > y;
    char first[4 * most_characters], second[4 * most_characters];
    const std::size_t first_size = write(a, b, first), second_size = write(c, d, second);
    if (const int order = std::memcmp(first, second, std::min(first_size, second_size)); order != 0) return order > 0;
    if (first_size != second_size) return first_size > second_size;
    if (std::max(a, b) != std::max(c, d)) return std::max(a, b) > std::max(c, d);
    return a < c;
  }

 private:
  static constexpr std::uint8_t any_script = 0xFF;
  struct Symbol {
    std::string text;
    std::uint8_t characters;
    std::uint8_t first, last;  // scripts; any_script: it has only spaces and Inherited characters
    bool is_spaced;            // begins with a space
  };

  std::size_t write(std::uint32_t left, std::uint32_t right, char* to) const {
    const std::string& a = symbols_[left].text;
    const std::string& b = symbols_[right].text;
    std::memcpy(to, a.data(), a.size());
    std::memcpy(to + a.size(), b.data(), b.size());
    return a.size() + b.size();
  }

  std::vector<Symbol> symbols_;
};

}  // namespace moderngpt2::detail
