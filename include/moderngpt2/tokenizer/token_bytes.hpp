#pragma once

#include <functional>
#include <string>
#include <utility>

#include "moderngpt2/tokenizer/tokenizer.hpp"

namespace moderngpt2 {

/// Returns a function for GenerationOptions::token_text: the bytes that a token adds to a text. Byte tokens have one
/// byte, special tokens their name, ids without a token none.
inline std::function<std::string(int)> token_bytes(Tokenizer tokenizer) {
  return [tokenizer = std::move(tokenizer)](int id) { return tokenizer.token_text(id); };
}

}  // namespace moderngpt2
