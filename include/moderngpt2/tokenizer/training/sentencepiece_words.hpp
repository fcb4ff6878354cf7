#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <utility>

#include "moderngpt2/core/utf8.hpp"
#include "moderngpt2/tokenizer/training/unicode_scripts.hpp"
#include "moderngpt2/tokenizer/utf8.hpp"

namespace moderngpt2::detail {

/// Script of every code point, for SentencePiece's rule that a piece has one script.
class Scripts {
 public:
  static const Scripts& instance() {
    static const Scripts scripts;
    return scripts;
  }
  std::uint8_t operator[](char32_t c) const { return table_[c]; }

 private:
  Scripts() : table_(new std::uint8_t[0x110000]()) {
    for (const ScriptRange& range : script_ranges)
      for (char32_t c = range.first; c <= range.last; ++c) table_[c] = range.script;
  }
  std::unique_ptr<std::uint8_t[]> table_;
};

/// Script of an ASCII character, or a number for those that splitting treats differently.
struct AsciiKinds {
  static constexpr std::uint8_t special = 0xF0, space = 0xF1, other = 0xF2;
  std::uint8_t kinds[128];

  constexpr AsciiKinds() : kinds() {
    for (int c = 0; c < 128; ++c)
      kinds[c] = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ? latin_script : common_script;
    kinds[0] = kinds[int{'\t'}] = kinds[int{'<'}] = other;
    kinds[int{' '}] = space;
  }
  constexpr std::uint8_t operator[](unsigned char c) const { return kinds[c]; }
};
inline constexpr AsciiKinds ascii_kinds;

/// Splits sentences into words that no piece of a SentencePiece BPE model crosses: before each space (SentencePiece's
/// split_by_whitespace), and between characters of two scripts (split_by_unicode_script; digits and punctuation are
/// the script Common, so that this is split_by_number too). An Inherited character, such as a combining accent, has the
/// script of the character before it, and any script after it may follow in a piece that begins with it: the text is
/// not split there. Splitting at scripts does not change the frequencies of pairs that may merge; it keeps the number
/// of different words low in text without spaces.
class SentencePieceWords {
 public:
  /// Calls emit(word) for each word of valid UTF-8. A word's space, or U+2581, is its first character, written as one
  /// space byte. Tabs, zeros and byte pieces such as <0x0A> belong to no word; tabs and byte pieces count as tabs, as
  /// in SentencePiece.
  template <class Emit>
  void split(std::string_view text, Emit&& emit) {
    if (text.find(space_mark) != text.npos) {
      spaced_ = text;
      for (std::size_t at = 0; (at = spaced_.find(space_mark, at)) != spaced_.npos; ++at)
        spaced_.replace(at, space_mark.size(), " ");
      text = spaced_;
    }
    std::size_t begin = 0;
    std::uint8_t script = any;
    const auto end_word = [&](std::size_t end) {
      if (end > begin) emit(text.substr(begin, end - begin));
      begin = end;
      script = any;
    };
    for (std::size_t at = 0; at < text.size();) {
      const auto lead = static_cast<unsigned char>(text[at]);
      if (lead < 0x80) {
        const std::uint8_t next = ascii_kinds[lead];
        if (next < AsciiKinds::special) {
          if (next != script && script != any) end_word(at);
          script = next;
          ++at;
        } else if (next == AsciiKinds::space) {
          end_word(at);
          ++at;
        } else {
          const std::size_t size = lead != '<' ? 1 : byte_piece_size(text, at);
          if (size == 0) {  // an ordinary "<"
            if (script != common_script && script != any) end_word(at);
            script = common_script;
            ++at;
            continue;
          }
          end_word(at);
          begin = at += size;
          if (lead != 0) ++tabs_;
        }
        continue;
      }
      const std::size_t length = utf8_length(text[at]);
      const char32_t c = utf8_decode(text, at, length);
      const std::uint8_t next = scripts_[c];
      if (next == inherited_script) {
        at += length;
        script = any;
        continue;
      }
      if (next != script && script != any) end_word(at);
      script = next;
      at += length;
    }
    end_word(text.size());
  }

  /// Number of tabs and byte pieces since the last call.
  std::uint64_t take_tabs() { return std::exchange(tabs_, 0); }

 private:
  static constexpr std::uint8_t any = 0xFF;

  /// Size of a byte piece such as <0x0A> at `text[at]`; 0 if there is none.
  static std::size_t byte_piece_size(std::string_view text, std::size_t at) {
    const auto is_digit = [](char c) { return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'F'); };
    const std::string_view piece = text.substr(at, 6);
    return piece.size() == 6 && piece[1] == '0' && piece[2] == 'x' && is_digit(piece[3]) && is_digit(piece[4]) &&
                   piece[5] == '>'
               ? 6
               : 0;
  }

  const Scripts& scripts_ = Scripts::instance();
  std::string spaced_;  // a sentence with spaces in place of U+2581
  std::uint64_t tabs_ = 0;
};

}  // namespace moderngpt2::detail
