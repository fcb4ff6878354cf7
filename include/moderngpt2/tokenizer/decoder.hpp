#pragma once

#include <cstddef>
#include <string>
#include <string_view>

#include "moderngpt2/tokenizer/utf8.hpp"

namespace moderngpt2::detail {

/// Byte value of a token of the form <0xNN>, or -1.
inline int byte_of_token(std::string_view token) {
  if (token.size() != 6 || !token.starts_with("<0x") || token[5] != '>') return -1;
  int value = 0;
  for (const char c : token.substr(3, 2)) {
    const std::size_t digit = std::string_view("0123456789ABCDEFabcdef").find(c);
    if (digit == std::string_view::npos) return -1;
    value = value * 16 + static_cast<int>(digit < 16 ? digit : digit - 6);
  }
  return value;
}

/// Appends a token's text, with spaces for space marks.
inline void append_token_text(std::string_view token, std::string& text) {
  while (true) {
    const std::size_t mark = token.find(space_mark);
    text.append(token.substr(0, mark));
    if (mark == token.npos) return;
    text.push_back(' ');
    token.remove_prefix(mark + space_mark.size());
  }
}

/// Appends a run of byte tokens: its text or, if any part is not valid UTF-8, one U+FFFD per byte, like the
/// ByteFallback decoder of Hugging Face `tokenizers`.
inline void append_byte_run(std::string_view bytes, std::string& text) {
  if (valid_utf8_prefix(bytes) == bytes.size()) {
    text.append(bytes);
  } else {
    for (std::size_t i = 0; i < bytes.size(); ++i) text.append(replacement_character);
  }
}

}  // namespace moderngpt2::detail
