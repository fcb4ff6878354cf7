#pragma once

#include <array>
#include <cstddef>
#include <string>
#include <string_view>

#include "moderngpt2/core/utf8.hpp"

namespace moderngpt2::detail {

/// Code points of the bytes in the alphabet of byte-level BPE (GPT-2's encoder.py, bytes_to_unicode). Printable bytes
/// of Latin-1 are their own characters; the 68 others, in order, are U+0100 to U+0143. A space is U+0120, "Ġ".
inline constexpr std::array<char32_t, 256> byte_alphabet = [] {
  std::array<char32_t, 256> result{};
  char32_t next = 0x100;
  for (std::size_t byte = 0; byte < 256; ++byte) {
    const bool is_printable = (byte >= 0x21 && byte <= 0x7E) || (byte >= 0xA1 && byte != 0xAD);
    result[byte] = is_printable ? static_cast<char32_t>(byte) : next++;
  }
  return result;
}();

/// Byte of each code point below U+0144 in `byte_alphabet`, or -1.
inline constexpr std::array<short, 0x144> bytes_of_alphabet = [] {
  std::array<short, 0x144> result{};
  for (auto& value : result) value = -1;
  for (std::size_t byte = 0; byte < 256; ++byte) result[byte_alphabet[byte]] = static_cast<short>(byte);
  return result;
}();

/// Byte of a character of the alphabet, or -1.
constexpr int byte_of_character(char32_t c) { return c < bytes_of_alphabet.size() ? bytes_of_alphabet[c] : -1; }

/// Appends the characters of the bytes of `text`.
inline void append_byte_characters(std::string_view text, std::string& result) {
  for (const char byte : text) {
    const char32_t c = byte_alphabet[static_cast<unsigned char>(byte)];
    if (c < 0x80) {
      result += static_cast<char>(c);
    } else {
      result += static_cast<char>(0xC0 | c >> 6);
      result += static_cast<char>(0x80 | (c & 0x3F));
    }
  }
}

/// Appends the bytes of the characters of `text`, valid UTF-8. Returns false, and leaves `result` as it was, if a
/// character is not in the alphabet.
inline bool append_bytes_of_characters(std::string_view text, std::string& result) {
  const auto before = result.size();
  for (std::size_t at = 0; at < text.size();) {
    const auto length = utf8_length(text[at]);
    const int byte = length > 2 ? -1 : byte_of_character(utf8_decode(text, at, length));
    if (byte < 0) {
      result.resize(before);
      return false;
    }
    result += static_cast<char>(byte);
    at += length;
  }
  return true;
}

}  // namespace moderngpt2::detail
