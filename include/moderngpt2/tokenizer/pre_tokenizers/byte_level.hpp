#pragma once

#include <string>
#include <string_view>

#include "moderngpt2/tokenizer/byte_alphabet.hpp"
#include "moderngpt2/tokenizer/component.hpp"
#include "moderngpt2/tokenizer/pre_tokenizers/piece.hpp"
#include "moderngpt2/tokenizer/splitters/gpt2_splitter.hpp"

namespace moderngpt2::detail {

/// Pre-tokenizer ByteLevel: splits by the GPT-2 pattern and replaces bytes by the characters of byte_alphabet.
class ByteLevelPreTokenizer {
 public:
  static constexpr std::string_view type = "ByteLevel";

  explicit ByteLevelPreTokenizer(const Component& component)
      : add_prefix_space_(component.get<bool>("add_prefix_space")), use_regex_(component.get_or("use_regex", true)) {
    component.expect({"add_prefix_space", "trim_offsets", "use_regex"});
    component.get<bool>("trim_offsets");  // moves offsets, not ids
  }

  bool add_prefix_space() const { return add_prefix_space_; }
  bool use_regex() const { return use_regex_; }

  /// Makes the step emit bytes in place of their characters.
  void emit_bytes() { bytes_ = true; }

  /// Whether pieces pass unchanged.
  bool is_identity() const { return bytes_ && !use_regex_ && !add_prefix_space_; }

  template <class Emit>
  void operator()(Piece piece, Emit&& emit) const {
    std::string with_space;
    const bool adds_space = add_prefix_space_ && !piece.text.empty() && piece.text.front() != ' ';
    if (adds_space) {
      with_space.reserve(piece.text.size() + 1);
      with_space.append(1, ' ').append(piece.text);
      piece.text = with_space;
    }
    std::string characters;
    const char* begin = piece.text.data();
    const char* end = begin + piece.text.size();
    for (const char* p = begin; p != end;) {
      const char* next = use_regex_ ? splitter_.next(p, end).end : end;
      // The added space counts as part of the first character.
      Piece part{{p, static_cast<std::size_t>(next - p)}, piece.first && p - begin <= (adds_space ? 1 : 0)};
      if (!bytes_) {
        characters.clear();
        append_byte_characters(part.text, characters);
        part.text = characters;
      }
      emit(part);
      p = next;
    }
  }

 private:
  bool add_prefix_space_, use_regex_;
  bool bytes_ = false;
  Gpt2Splitter splitter_;
};

}  // namespace moderngpt2::detail
