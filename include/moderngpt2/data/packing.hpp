#pragma once

#include <cstdint>
#include <functional>
#include <string_view>
#include <utility>
#include <vector>

#include "moderngpt2/core/error.hpp"

namespace moderngpt2 {

/// Whether a text is nothing but white space (ASCII, and Unicode's: U+0085, U+00A0, U+1680, U+2000 to U+200A, U+2028,
/// U+2029, U+202F, U+205F, U+3000), as Python's str.strip() sees it.
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

/// Packs documents end to end into blocks: each document's ids, then eos unless it ends so already. Nothing is dropped
/// but what is left in the last, partial block.
class BlockPacker {
 public:
  using Encode = std::function<void(std::string_view text, std::vector<int>& ids)>;
  using Emit = std::function<void(const std::vector<std::int32_t>& block)>;

  /// `encode` replaces what stands in `ids`; `emit` takes each full block of `block_size` ids.
  BlockPacker(int block_size, int eos_id, Encode encode, Emit emit)
      : block_size_(block_size), eos_id_(eos_id), encode_(std::move(encode)), emit_(std::move(emit)) {
    if (block_size_ < 1) throw Error("a block of {} tokens was asked for", block_size_);
    block_.reserve(static_cast<std::size_t>(block_size_));
  }

  /// Adds a document and returns the number of its tokens, eos included: 0 for one of white space only.
  std::int64_t add(std::string_view text) {
    if (is_white_space(text)) return 0;
    ids_.clear();
    encode_(text, ids_);
    if (ids_.empty()) return 0;
    if (ids_.back() != eos_id_) ids_.push_back(eos_id_);
    for (const int id : ids_) {
      block_.push_back(id);
      if (block_.size() == static_cast<std::size_t>(block_size_)) {
        emit_(block_);
        ++blocks_;
        block_.clear();
      }
    }
    return static_cast<std::int64_t>(ids_.size());
  }

  /// Full blocks so far, and the tokens that wait for the next one to fill.
  std::int64_t blocks() const { return blocks_; }
  std::int64_t remainder() const { return static_cast<std::int64_t>(block_.size()); }

 private:
  int block_size_, eos_id_;
  Encode encode_;
  Emit emit_;
  std::vector<int> ids_;
  std::vector<std::int32_t> block_;
  std::int64_t blocks_ = 0;
};

}  // namespace moderngpt2
