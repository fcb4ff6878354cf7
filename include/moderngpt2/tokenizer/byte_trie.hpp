#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>
#include <vector>

#include "moderngpt2/tokenizer/flat_map.hpp"

namespace moderngpt2::detail {

/// Strings with an id each, by their bytes: finds all that begin at one place of a text.
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
    if (!text.empty()) first_[static_cast<unsigned char>(text[0])] = true;
  }

  bool empty() const { return ids_.size() == 1; }

  /// Calls `f(length, id)` for each string of the trie that `text` begins with, the shortest first.
  template <class F>
  void for_each_prefix(std::string_view text, F&& f) const {
    if (text.empty() || !first_[static_cast<unsigned char>(text[0])]) return;
    std::uint32_t node = 0;
    for (std::size_t i = 0; i < text.size(); ++i) {
      const auto* next = edges_.find(edge(node, text[i]));
      if (!next) return;
      node = *next;
      if (ids_[node] >= 0) f(i + 1, ids_[node]);
    }
  }

 private:
  static std::uint64_t edge(std::uint32_t node, char c) {
    return std::uint64_t{node} << 8 | static_cast<unsigned char>(c);
  }

  FlatMap<std::uint32_t> edges_;
  std::vector<int> ids_{-1};  // by node; -1: no string ends here
  bool first_[256] = {};
};

}  // namespace moderngpt2::detail
