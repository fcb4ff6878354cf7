#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "moderngpt2/core/utf8.hpp"
#include "moderngpt2/io/json_string.hpp"

namespace moderngpt2::detail {

/// Number of leading ASCII bytes of `text` from `at` on, in whole words of eight bytes.
inline std::size_t ascii_words(std::string_view text, std::size_t at) {
  std::size_t end = at;
  for (std::uint64_t word; end + sizeof word <= text.size(); end += sizeof word) {
    __builtin_memcpy(&word, text.data() + end, sizeof word);
    if (word & 0x8080808080808080u) break;
  }
  return end - at;
}

/// Rewrites the characters for which changes(c) is true: write(c, storage) appends what replaces one. Returns `text` if
/// there is none, else `storage`.
template <class Changes, class Write>
std::string_view rewrite_characters(std::string_view text, std::string& storage, Changes&& changes, Write&& write) {
  std::size_t copied = 0;
  bool changed = false;
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t length = utf8_length(text[at]);
    const char32_t c = utf8_decode(text, at, length);
    if (changes(c)) {
      if (!changed) storage.clear();
      changed = true;
      storage.append(text, copied, at - copied);
      write(c, storage);
      copied = at + length;
    }
    at += length;
  }
  if (!changed) return text;
  storage.append(text, copied);
  return storage;
}

}  // namespace moderngpt2::detail
