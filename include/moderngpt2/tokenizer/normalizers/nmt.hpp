#pragma once

#include <string>
#include <string_view>

#include "moderngpt2/tokenizer/component.hpp"
#include "moderngpt2/tokenizer/normalizers/rewrite.hpp"

namespace moderngpt2::detail {

/// Normalizer Nmt: removes control characters and turns white space into spaces.
struct NmtNormalizer {
  static constexpr std::string_view type = "Nmt";

  explicit NmtNormalizer(const Component& component) { component.expect({}); }

  std::string_view operator()(std::string_view text, std::string& storage) const {
    return rewrite_characters(
        text, storage, [](char32_t c) { return is_removed(c) || is_space(c); },
        [](char32_t c, std::string& out) {
          if (!is_removed(c)) out += ' ';
        });
  }

 private:
  static constexpr bool is_removed(char32_t c) {
    return (c >= 0x1 && c <= 0x8) || c == 0xB || (c >= 0xE && c <= 0x1F) || c == 0x7F || c == 0x8F || c == 0x9F;
  }
  static constexpr bool is_space(char32_t c) {
    return c == 0x9 || c == 0xA || c == 0xC || c == 0xD || c == 0x1680 || (c >= 0x200B && c <= 0x200F) || c == 0x2028 ||
           c == 0x2029 || c == 0x2581 || c == 0xFEFF || c == 0xFFFD;
  }
};

}  // namespace moderngpt2::detail
