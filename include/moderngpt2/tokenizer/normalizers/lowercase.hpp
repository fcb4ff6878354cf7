#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <iterator>
#include <string>
#include <string_view>
#include <vector>

#include "moderngpt2/core/separate_compilation.hpp"
#include "moderngpt2/tokenizer/component.hpp"
#include "moderngpt2/tokenizer/normalizers/rewrite.hpp"
#include "moderngpt2/tokenizer/unicode/lower_case.hpp"
#include "moderngpt2/tokenizer/unicode_properties.hpp"

namespace moderngpt2::detail {

/// Whether a character has another lower case.
inline bool has_lower_case(char32_t c) {
  static const CodePointMap map = [] {
    std::vector<std::uint8_t> values(code_point_count);
    values[0x130] = 1;
    for (std::size_t i = 0; i < std::size(lower_case_runs); i += 4)
      for (std::int32_t k = 0; k < lower_case_runs[i + 1]; ++k)
        values[static_cast<std::size_t>(lower_case_runs[i] + k * lower_case_runs[i + 2])] = 1;
    return CodePointMap(values);
  }();
  return map[c];
}

/// Appends the lower case of a character, without regard to its context.
void append_lower_case(char32_t c, std::string& out);

/// Lower case of each character. Returns `text` if nothing changes, else `storage`.
std::string_view to_lower_case(std::string_view text, std::string& storage);

/// Normalizer Lowercase: lower case of each character, as Rust's char::to_lowercase().
struct LowercaseNormalizer {
  static constexpr std::string_view type = "Lowercase";

  explicit LowercaseNormalizer(const Component& component) { component.expect({}); }

  std::string_view operator()(std::string_view text, std::string& storage) const {
    return to_lower_case(text, storage);
  }
};

#ifndef MODERNGPT2_DECLARE_FILES

MODERNGPT2_INLINE void append_lower_case(char32_t c, std::string& out) {
  if (c == 0x130) {
    out += "i\xCC\x87";
    return;
  }
  const auto code = static_cast<std::int32_t>(c);
  for (std::size_t i = 0; i < std::size(lower_case_runs) && lower_case_runs[i] <= code; i += 4) {
    const std::int32_t first = lower_case_runs[i], count = lower_case_runs[i + 1], step = lower_case_runs[i + 2];
    if ((code - first) % step == 0 && (code - first) / step < count)
      return append_utf8(static_cast<char32_t>(code + lower_case_runs[i + 3]), out);
  }
  append_utf8(c, out);
}

MODERNGPT2_INLINE std::string_view to_lower_case(std::string_view text, std::string& storage) {
  const auto is_upper = [](char c) { return c >= 'A' && c <= 'Z'; };
  std::size_t at = 0;
  while (at < text.size() && !is_upper(text[at])) {
    const std::size_t length = utf8_length(text[at]);
    if (length > 1 && has_lower_case(utf8_decode(text, at, length))) break;
    at += length;
  }
  if (at == text.size()) return text;
  storage.clear();
  storage.reserve(text.size() + text.size() / 8);
  storage.append(text, 0, at);
  while (at < text.size()) {
    const std::size_t begin = at;
    while (at < text.size() && static_cast<unsigned char>(text[at]) < 0x80) ++at;
    storage.append(text, begin, at - begin);
    char* out = storage.data() + storage.size() - (at - begin);
    for (std::size_t i = 0; i < at - begin; ++i) out[i] = static_cast<char>(out[i] | (is_upper(out[i]) ? 0x20 : 0));
    if (at == text.size()) break;
    const std::size_t length = utf8_length(text[at]);
    const char32_t c = utf8_decode(text, at, length);
    if (has_lower_case(c))
      append_lower_case(c, storage);
    else
      storage.append(text, at, length);
    at += length;
  }
  return storage;
}

#endif  // MODERNGPT2_DECLARE_FILES

}  // namespace moderngpt2::detail
