#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <numeric>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "moderngpt2/core/separate_compilation.hpp"
#include "moderngpt2/tokenizer/table.hpp"

namespace moderngpt2::detail {

/// Trie of byte strings as a double array (Aoe 1989): a step reads one element, 8 bytes. Built once from all strings.
/// Children of a node are at `base XOR byte`, within a block of 256 elements.
class DoubleArray {
 public:
  DoubleArray() : DoubleArray(std::span<const std::string>()) {}

  /// `texts[id]` is the text of each id. Empty texts are left out; of equal texts, the highest id counts.
  explicit DoubleArray(std::span<const std::string> texts);

  /// Calls `f(length, id)` for each string that is a prefix of `text`, the shortest first.
  template <class F>
  void for_each_prefix(std::string_view text, F&& f) const {
    std::uint32_t node = 0;
    for (std::size_t i = 0; i < text.size(); ++i) {
      const std::uint32_t child = step(node, text[i]);
      if (child == 0) return;
      node = child;
      if (nodes_[node].ends) f(i + 1, ids_[node]);
    }
  }

  /// Child of a node along a byte, or 0. The root is 0.
  std::uint32_t step(std::uint32_t node, char byte) const {
    const std::uint32_t child = nodes_[node].base ^ static_cast<unsigned char>(byte);
    return nodes_[child].parent == node ? child : 0;
  }
  /// Id of a string, or -1.
  int find(std::string_view text) const {
    std::uint32_t node = 0;
    for (const char c : text)
      if ((node = step(node, c)) == 0) return -1;
    return ids_[node];
  }
  struct Match {
    int id = -1;  // -1: none
    std::uint32_t length = 0;
  };
  /// Longest string that is a prefix of `text`.
  Match longest_prefix(std::string_view text) const {
    Match match;
    std::uint32_t node = 0;
    for (std::uint32_t i = 0; i < text.size(); ++i) {
      if ((node = step(node, text[i])) == 0) break;
      if (nodes_[node].ends) match = {ids_[node], i + 1};
    }
    return match;
  }

 private:
  struct Node {
    std::uint32_t base : 31 = 0;
    std::uint32_t ends : 1 = 0;   // whether a string ends here: its id is in ids_
    std::uint32_t parent = free;  // node whose child this is
  };
  static constexpr std::uint32_t free = ~std::uint32_t{0};

  /// Base for children along `bytes`, whose elements it reserves for `node`.
  std::uint32_t place(std::uint32_t node, const std::vector<unsigned char>& bytes);

  Table<Node> nodes_;
  Table<int> ids_;                     // by node
  std::vector<std::uint32_t> open_;    // blocks with free elements, while building
  std::vector<std::uint16_t> unused_;  // free elements of each block, while building
};

}  // namespace moderngpt2::detail

#ifndef MODERNGPT2_DECLARE_FILES

namespace moderngpt2::detail {

MODERNGPT2_INLINE DoubleArray::DoubleArray(std::span<const std::string> texts) {
  std::vector<std::uint32_t> order(texts.size());
  std::iota(order.begin(), order.end(), 0);
  std::erase_if(order, [&](std::uint32_t id) { return texts[id].empty(); });
  std::stable_sort(order.begin(), order.end(), [&](auto a, auto b) { return texts[a] < texts[b]; });
  struct Range {  // strings that share the first `depth` bytes
    std::uint32_t node;
    std::size_t begin, end, depth;
  };
  nodes_.resize(256);
  ids_.resize(256, -1);
  nodes_[0].parent = 0;  // taken by the root, and no child of it: no byte leads from 0 to 0 as its base is not 0
  open_.push_back(0);
  unused_.push_back(255);
  std::vector<Range> ranges{{0, 0, order.size(), 0}};
  std::vector<unsigned char> bytes;
  std::vector<std::size_t> begins;
  for (std::size_t next = 0; next < ranges.size(); ++next) {  // breadth first: nodes near the root share cache lines
    const Range range = ranges[next];
    std::size_t at = range.begin;
    for (; at < range.end && texts[order[at]].size() == range.depth; ++at) {
      ids_[range.node] = static_cast<int>(order[at]);
      nodes_[range.node].ends = 1;
    }
    bytes.clear();
    begins.clear();
    for (; at < range.end; ++at) {
      const auto byte = static_cast<unsigned char>(texts[order[at]][range.depth]);
      if (!bytes.empty() && bytes.back() == byte) continue;
      bytes.push_back(byte);
      begins.push_back(at);
    }
    if (bytes.empty()) continue;
    const std::uint32_t base = place(range.node, bytes);
    begins.push_back(range.end);
    for (std::size_t i = 0; i < bytes.size(); ++i)
      ranges.push_back({base ^ bytes[i], begins[i], begins[i + 1], range.depth + 1});
  }
  open_ = {};
  unused_ = {};
}

MODERNGPT2_INLINE std::uint32_t DoubleArray::place(std::uint32_t node, const std::vector<unsigned char>& bytes) {
  const auto fits = [&](std::uint32_t base) {
    return std::all_of(bytes.begin(), bytes.end(),
                       [&](unsigned char byte) { return nodes_[base ^ byte].parent == free; });
  };
  std::uint32_t base = 0;
  bool found = false;
  constexpr std::size_t tried_blocks = 16;
  for (std::size_t tried = 0; tried < std::min(open_.size(), tried_blocks) && !found; ++tried) {
    const std::uint32_t block = open_[open_.size() - 1 - tried];
    if (unused_[block] < bytes.size()) continue;
    for (std::uint32_t low = 0; low < 256 && !found; ++low) {
      base = (block * 256 + low) ^ bytes[0];
      found = nodes_[block * 256 + low].parent == free && fits(base);
    }
  }
  if (!found) {
    const auto block = static_cast<std::uint32_t>(nodes_.size() / 256);
    nodes_.resize(nodes_.size() + 256);
    ids_.resize(nodes_.size(), -1);
    open_.push_back(block);
    unused_.push_back(256);
    base = (block * 256) ^ bytes[0];
  }
  nodes_[node].base = base & 0x7FFFFFFF;
  for (const unsigned char byte : bytes) nodes_[base ^ byte].parent = node;
  const std::uint32_t block = base / 256;
  unused_[block] = static_cast<std::uint16_t>(unused_[block] - bytes.size());
  if (unused_[block] == 0) std::erase(open_, block);
  return base;
}

}  // namespace moderngpt2::detail

#endif
