#pragma once

#include <cstddef>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include "moderngpt2/core/separate_compilation.hpp"
#include "moderngpt2/tokenizer/tokenizer.hpp"
#include "moderngpt2/tokenizer/utf8.hpp"

namespace moderngpt2 {

/// Where in `text`, in bytes, each of its tokens begins, and at the end where the last one ends. Nothing where the
/// tokens do not spell the text, as with an unknown token.
std::optional<std::vector<int>> token_offsets(const Tokenizer& tokenizer, std::span<const int> ids,
                                              std::string_view text);

/// The byte at which the `count`-th character (code point) of a text begins; its size for one past the end, nothing for
/// more.
std::optional<std::size_t> byte_of_character(std::string_view text, std::size_t count);

}  // namespace moderngpt2

#ifndef MODERNGPT2_DECLARE_RUNS

namespace moderngpt2 {

MODERNGPT2_INLINE std::optional<std::vector<int>> token_offsets(const Tokenizer& tokenizer, std::span<const int> ids,
                                                                std::string_view text) {
  std::vector<int> offsets{0};
  std::size_t at = 0;
  for (const int id : ids) {
    if (const int byte = tokenizer.byte_value(id); byte >= 0) {
      if (at >= text.size() || static_cast<unsigned char>(text[at]) != byte) return std::nullopt;
      ++at;
    } else {
      std::string_view token = tokenizer.token(id);
      while (!token.empty()) {
        const bool mark = token.starts_with(space_mark);
        if (mark && at < text.size() && text[at] == ' ') {
          token.remove_prefix(space_mark.size()), ++at;
          continue;
        }
        if (at >= text.size() || text[at] != token[0]) return std::nullopt;
        token.remove_prefix(1), ++at;
      }
    }
    offsets.push_back(int(at));
  }
  if (at != text.size()) return std::nullopt;
  return offsets;
}

MODERNGPT2_INLINE std::optional<std::size_t> byte_of_character(std::string_view text, std::size_t count) {
  std::size_t at = 0;
  for (; count > 0 && at < text.size(); --count) {
    ++at;
    while (at < text.size() && detail::is_utf8_continuation(text[at])) ++at;
  }
  if (count > 0) return std::nullopt;
  return at;
}

}  // namespace moderngpt2

#endif
