#pragma once

#include <string>
#include <string_view>

#include "moderngpt2/core/utf8.hpp"
#include "moderngpt2/tokenizer/byte_alphabet.hpp"
#include "moderngpt2/tokenizer/component.hpp"

namespace moderngpt2::detail {

/// Normalizer ByteLevel: replaces each byte by its character in byte_alphabet.
struct ByteLevelNormalizer {
  static constexpr std::string_view type = "ByteLevel";

  explicit ByteLevelNormalizer(const Component& component) { component.expect({}); }

  std::string_view operator()(std::string_view text, std::string& storage) const {
    bool changed = false;
    for (const char c : text) changed |= c <= ' ' || c == 0x7F || is_utf8_continuation(c);
    if (!changed) return text;
    storage.clear();
    storage.reserve(text.size() + text.size() / 2);
    append_byte_characters(text, storage);
    return storage;
  }
};

}  // namespace moderngpt2::detail
