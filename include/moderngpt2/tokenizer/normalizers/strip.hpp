#pragma once

#include <cstddef>
#include <string>
#include <string_view>

#include "moderngpt2/tokenizer/component.hpp"
#include "moderngpt2/tokenizer/normalizers/rewrite.hpp"
#include "moderngpt2/tokenizer/unicode_properties.hpp"

namespace moderngpt2::detail {

/// Normalizer Strip: removes white space at the ends.
struct StripNormalizer {
  static constexpr std::string_view type = "Strip";

  explicit StripNormalizer(const Component& component) {
    component.expect({"strip_left", "strip_right"});
    left_ = component.get<bool>("strip_left");
    right_ = component.get<bool>("strip_right");
  }

  std::string_view operator()(std::string_view text, std::string& storage) const {
    std::size_t begin = 0, end = text.size();
    while (left_ && begin < end) {
      const std::size_t length = utf8_length(text[begin]);
      if (!is_white_space(utf8_decode(text, begin, length))) break;
      begin += length;
    }
    while (right_ && end > begin) {
      std::size_t at = end - 1;
      while (is_utf8_continuation(text[at])) --at;
      if (!is_white_space(utf8_decode(text, at, end - at))) break;
      end = at;
    }
    if (end - begin == text.size()) return text;
    storage.assign(text, begin, end - begin);
    return storage;
  }

 private:
  bool left_, right_;
};

/// Normalizer StripAccents: removes combining marks.
struct StripAccentsNormalizer {
  static constexpr std::string_view type = "StripAccents";

  explicit StripAccentsNormalizer(const Component& component) { component.expect({}); }

  std::string_view operator()(std::string_view text, std::string& storage) const {
    return rewrite_characters(
        text, storage, [](char32_t c) { return c >= 0x300 && is_accent(c); }, [](char32_t, std::string&) {});
  }
};

}  // namespace moderngpt2::detail
