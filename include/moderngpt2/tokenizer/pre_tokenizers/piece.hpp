#pragma once

#include <string_view>

namespace moderngpt2::detail {

/// Part of a text that is passed from one pre-tokenizer to the next.
struct Piece {
  std::string_view text;
  bool first;  ///< begins at offset 0 of the whole input
};

/// Characters from `begin` to `end` of a piece.
inline Piece part_of(const Piece& piece, const char* begin, const char* end) {
  return {{begin, static_cast<std::size_t>(end - begin)}, piece.first && begin == piece.text.data()};
}

}  // namespace moderngpt2::detail
