#pragma once

#include <cstddef>
#include <string>
#include <string_view>

#include "moderngpt2/core/error.hpp"
#include "moderngpt2/tokenizer/utf8.hpp"

namespace moderngpt2 {

/// Removes one line end, LF or CRLF, from the end of a text.
inline std::string_view without_line_end(std::string_view text) {
  if (text.ends_with('\n')) text.remove_suffix(1);
  if (text.ends_with('\r')) text.remove_suffix(1);
  return text;
}

/// Removes a byte-order mark from the beginning of a text.
inline std::string_view without_byte_order_mark(std::string_view text) {
  if (text.starts_with("\xEF\xBB\xBF")) text.remove_prefix(3);
  return text;
}

/// Text of standard input as a prompt: without a byte-order mark and the last line end, and with LF for each CRLF, as
/// Python's text mode reads it. Throws Error if the text is not UTF-8.
inline std::string prompt_of_input(std::string_view text) {
  if (const std::size_t valid = valid_utf8_prefix(text); valid != text.size())
    throw Error("standard input: not UTF-8 from byte {} on. Convert the text with iconv.", valid + 1);
  text = without_byte_order_mark(text);
  text = without_line_end(text);
  std::string prompt;
  prompt.reserve(text.size());
  for (std::size_t i = 0; i < text.size(); ++i)
    if (text[i] != '\r' || text.substr(i + 1, 1) != "\n") prompt += text[i];
  return prompt;
}

}  // namespace moderngpt2
