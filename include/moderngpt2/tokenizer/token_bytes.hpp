#pragma once

#include <functional>
#include <string>
#include <utility>

#include "moderngpt2/tokenizer/decoder.hpp"
#include "moderngpt2/tokenizer/tokenizer.hpp"

namespace moderngpt2 {

/// Returns a function for GenerationOptions::token_text: the bytes that a token adds to a text. Byte tokens have one
/// byte, special tokens their name, ids without a token none.
inline std::function<std::string(int)> token_bytes(Tokenizer tokenizer) {
  return [tokenizer = std::move(tokenizer)](int id) {
    std::string text;
    if (const int byte = tokenizer.byte_value(id); byte >= 0)
      text.push_back(char(byte));
    else if (id >= 0 && id < tokenizer.vocab_size())
      detail::append_token_text(tokenizer.token(id), text);
    return text;
  };
}

}  // namespace moderngpt2
