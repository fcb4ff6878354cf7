#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>
#include <string_view>
#include <utility>
#include <vector>

#include "moderngpt2/core/error.hpp"

namespace moderngpt2 {

/// Whether a text is only white space like Python's str.isspace(): ASCII, U+0085, U+00A0, U+1680, U+2000 to U+200A,
/// U+2028, U+2029, U+202F, U+205F, U+3000. Also true for an empty text.
inline bool is_white_space(std::string_view text) {
  for (std::size_t i = 0; i < text.size();) {
    const auto byte = [&](std::size_t k) {
      return i + k < text.size() ? static_cast<unsigned>(static_cast<unsigned char>(text[i + k])) : 0u;
    };
    const unsigned first = byte(0);
    if (first == ' ' || (first >= 0x09 && first <= 0x0d) || (first >= 0x1c && first <= 0x1f)) {
      i += 1;
    } else if (first == 0xc2 && (byte(1) == 0x85 || byte(1) == 0xa0)) {
      i += 2;
    } else {
      const unsigned code = first << 16 | byte(1) << 8 | byte(2);
      if (code != 0xe19a80 && !(code >= 0xe28080 && code <= 0xe2808a) && code != 0xe280a8 && code != 0xe280a9 &&
          code != 0xe280af && code != 0xe2819f && code != 0xe38080)
        return false;
      i += 3;
    }
  }
  return true;
}

/// Packs documents end to end into blocks. Only the last, partial block is dropped. Threads: one at a time.
class BlockPacker {
 public:
  using Emit = std::function<void(std::span<const std::int32_t> block)>;

  /// `emit` receives each full block of `block_size` ids.
  BlockPacker(int block_size, Emit emit) : block_size_(block_size), emit_(std::move(emit)) {
    if (block_size < 1) throw Error("block size is {}, it must be at least 1", block_size);
    block_.reserve(static_cast<std::size_t>(block_size));
  }

  /// Adds the ids of a document, including eos.
  void add(std::span<const std::int32_t> ids) {
    const auto block_size = static_cast<std::size_t>(block_size_);
    taken_ = 0;
    while (taken_ < ids.size()) {
      const std::size_t count = std::min(ids.size() - taken_, block_size - block_.size());
      const std::span<const std::int32_t> part = ids.subspan(taken_, count);
      taken_ += count;
      if (count == block_size) {
        emit_(part);
        continue;
      }
      block_.insert(block_.end(), part.begin(), part.end());
      if (block_.size() < block_size) return;
      emit_(block_);
      block_.clear();
    }
  }

  /// Number of ids of the current document that are in emitted blocks; valid while `emit` runs.
  std::size_t taken() const { return taken_; }
  /// Number of tokens in the partial block.
  std::int64_t remainder() const { return static_cast<std::int64_t>(block_.size()); }

 private:
  int block_size_;
  Emit emit_;
  std::vector<std::int32_t> block_;
  std::size_t taken_ = 0;
};

}  // namespace moderngpt2
