#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "moderngpt2/tokenizer/utf8.hpp"

namespace moderngpt2::detail {

/// Table from characters to the ids of single-character tokens. Pages have 64 entries: characters that share all bytes
/// of UTF-8 except the last.
class CharacterIds {
 public:
  struct Step {
    int id;              // -1: no token
    std::size_t length;  // bytes
  };

  /// `tokens[id]` is the text of each id.
  explicit CharacterIds(std::span<const std::string> tokens) {
    for (std::size_t id = 0; id < tokens.size(); ++id) {
      const std::string& token = tokens[id];
      if (!token.empty() && utf8_length(token[0]) == token.size())
        set(utf8_decode(token, 0, token.size()), static_cast<int>(id));
    }
  }

  void set(char32_t character, int id) {
    std::uint32_t& page = pages_[character >> 6];
    if (page == 0) {
      page = static_cast<std::uint32_t>(ids_.size());
      ids_.resize(ids_.size() + 64, -1);
    }
    ids_[page + (character & 0x3F)] = id;
  }

  int operator[](char32_t character) const { return ids_[pages_[character >> 6] + (character & 0x3F)]; }

  /// Returns id and length of the character at `text[at]`. `text` must be valid UTF-8.
  Step step(std::string_view text, std::size_t at) const {
    const std::size_t length = utf8_length(text[at]);
    return {(*this)[utf8_decode(text, at, length)], length};
  }

 private:
  std::vector<std::uint32_t> pages_ = std::vector<std::uint32_t>(0x110000 >> 6, 0);
  std::vector<int> ids_ = std::vector<int>(64, -1);  // page 0: characters without a token
};

}  // namespace moderngpt2::detail
