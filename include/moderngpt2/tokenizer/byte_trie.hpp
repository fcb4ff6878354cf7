#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string_view>
#include <vector>

#include "moderngpt2/tokenizer/flat_map.hpp"

namespace moderngpt2::detail {

/// Byte trie from strings to ids. Finds all strings that begin at a position of a text.
class ByteTrie {
 public:
  void insert(std::string_view text, int id) {
    std::uint32_t node = 0;
    for (const char c : text) {
      if (const auto* next = edges_.find(edge(node, c))) {
        node = *next;
      } else {
        const auto created = static_cast<std::uint32_t>(ids_.size());
        ids_.push_back(-1);
        edges_.set(edge(node, c), created);
        node = created;
      }
    }
    ids_[node] = id;
    if (text.empty() || is_first(text[0])) return;
    first_[static_cast<unsigned char>(text[0])] = true;
    ++first_bytes_;
    some_first_ = text[0];
  }

  bool empty() const { return ids_.size() == 1; }

  /// First position, from `at`, with a byte that begins a string of the trie; the text's size if none.
  std::size_t next_candidate(std::string_view text, std::size_t at) const {
    if (first_bytes_ == 1) return std::min(text.find(some_first_, at), text.size());
    while (at < text.size() && !is_first(text[at])) ++at;
    return at;
  }

  /// Calls `f(length, id)` for each string of the trie that is a prefix of `text`, the shortest first.
  template <class F>
  void for_each_prefix(std::string_view text, F&& f) const {
    if (text.empty() || !is_first(text[0])) return;
    std::uint32_t node = 0;
    for (std::size_t i = 0; i < text.size(); ++i) {
      const auto* next = edges_.find(edge(node, text[i]));
      if (!next) return;
      node = *next;
      if (ids_[node] >= 0) f(i + 1, ids_[node]);
    }
  }

 private:
  bool is_first(char c) const { return first_[static_cast<unsigned char>(c)]; }
  static std::uint64_t edge(std::uint32_t node, char c) {
    return std::uint64_t{node} << 8 | static_cast<unsigned char>(c);
  }

  FlatMap<std::uint32_t> edges_;
  std::vector<int> ids_{-1};  // by node; -1: no string ends here
  bool first_[256] = {};
  int first_bytes_ = 0;
  char some_first_ = 0;
};

}  // namespace moderngpt2::detail
