#pragma once

#include <cstddef>

#include "moderngpt2/core/error.hpp"

namespace moderngpt2::detail {

/// Throws Error if a text of `size` bytes has become more than 64 times and 16 MiB long (`now` bytes): a chain of
/// normalizers may lengthen a text by any factor.
inline void check_growth(std::size_t now, std::size_t size) {
  constexpr std::size_t free = std::size_t{1} << 24, most = 64;
  if (now <= free || now / most <= size) return;
  throw Error(
      "tokenizer: the normalizer makes a text of {} bytes more than {} times as long. Correct the Replace or "
      "Prepend steps of the file.",
      size, most);
}

}  // namespace moderngpt2::detail
