#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace moderngpt2::detail {

/// Sets `code` to the value of hexadecimal digits. Returns false for other characters.
inline bool read_json_hex(std::string_view digits, char32_t& code) {
  code = 0;
  for (const char c : digits) {
    if (c >= '0' && c <= '9')
      code = code * 16 + static_cast<char32_t>(c - '0');
    else if ((c | 0x20) >= 'a' && (c | 0x20) <= 'f')
      code = code * 16 + static_cast<char32_t>((c | 0x20) - 'a' + 10);
    else
      return false;
  }
  return true;
}

/// Appends the UTF-8 bytes of a code point.
inline void append_utf8(char32_t code, std::string& out) {
  const auto add = [&](char32_t byte) { out.push_back(static_cast<char>(byte)); };
  if (code < 0x80) {
    add(code);
  } else if (code < 0x800) {
    add(0xC0 | code >> 6), add(0x80 | (code & 0x3F));
  } else if (code < 0x10000) {
    add(0xE0 | code >> 12), add(0x80 | (code >> 6 & 0x3F)), add(0x80 | (code & 0x3F));
  } else {
    add(0xF0 | code >> 18), add(0x80 | (code >> 12 & 0x3F)), add(0x80 | (code >> 6 & 0x3F)), add(0x80 | (code & 0x3F));
  }
}

/// Appends the text of a JSON string, given without its quotes; the escapes must be valid. An escaped surrogate without
/// its pair, which no UTF-8 has, becomes U+FFFD. Returns the number of these.
inline std::int64_t append_json_string(std::string_view raw, std::string& out) {
  constexpr std::string_view letters = "\"\\/bfnrt", meanings = "\"\\/\b\f\n\r\t";
  std::int64_t lone = 0;
  while (true) {
    const std::size_t backslash = raw.find('\\');
    out.append(raw.substr(0, backslash));
    if (backslash == raw.npos) return lone;
    raw.remove_prefix(backslash + 1);
    const char letter = raw[0];
    raw.remove_prefix(1);
    if (letter != 'u') {
      out.push_back(meanings[letters.find(letter)]);
      continue;
    }
    char32_t code = 0, low = 0;
    read_json_hex(raw.substr(0, 4), code);
    raw.remove_prefix(4);
    if (code >= 0xD800 && code <= 0xDFFF) {
      const bool is_pair = code < 0xDC00 && raw.starts_with("\\u") && read_json_hex(raw.substr(2, 4), low) &&
                           low >= 0xDC00 && low <= 0xDFFF;
      if (is_pair) raw.remove_prefix(6);
      lone += !is_pair;
      code = is_pair ? 0x10000 + ((code - 0xD800) << 10) + (low - 0xDC00) : 0xFFFD;
    }
    append_utf8(code, out);
  }
}

/// JSON with null instead of the numbers NaN, Inf and Infinity, which RFC 8259 does not have.
inline std::string nan_as_null(std::string_view json) {
  std::string text;
  bool in_string = false;
  for (std::size_t i = 0; i < json.size(); ++i) {
    if (json[i] == '"') in_string = !in_string;
    const bool is_nan = !in_string && (json[i] == 'N' || json[i] == 'I');
    if (is_nan && text.ends_with('-')) text.pop_back();
    text += is_nan ? std::string_view("null") : json.substr(i, in_string && json[i] == '\\' ? 2 : 1);
    if (in_string && json[i] == '\\') ++i;
    while (is_nan && i + 1 < json.size() && (json[i + 1] | 0x20) >= 'a' && (json[i + 1] | 0x20) <= 'z') ++i;
  }
  return text;
}

/// Text of a JSON string, given without its quotes.
inline std::string json_string(std::string_view raw) {
  std::string text;
  append_json_string(raw, text);
  return text;
}

}  // namespace moderngpt2::detail
