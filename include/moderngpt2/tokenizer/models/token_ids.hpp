#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace moderngpt2::detail {

/// Hash map from a token's text to its id: texts in one buffer, slots in one flat array with linear probing. Of equal
/// texts, the highest id counts. Empty texts are left out.
class TokenIds {
 public:
  TokenIds() = default;

  /// `tokens[id]` is the text of each id.
  explicit TokenIds(std::span<const std::string> tokens) {
    std::size_t capacity = 16, bytes = 0;
    while (capacity < 2 * tokens.size()) capacity *= 2;
    for (const std::string& token : tokens) bytes += token.size();
    slots_.resize(capacity);
    texts_.reserve(bytes);
    for (std::size_t id = 0; id < tokens.size(); ++id) {
      const std::string& token = tokens[id];
      if (token.empty()) continue;
      longest_ = std::max(longest_, token.size());
      const std::uint64_t hash = hash_of(token);
      Slot& slot = slots_[position(token, hash)];
      if (slot.id < 0) {
        slot = {static_cast<std::uint32_t>(hash >> 32), static_cast<int>(id), texts_.size(), token.size()};
        texts_ += token;
      }
      slot.id = static_cast<int>(id);
    }
  }

  /// Id of a token, or -1.
  int find(std::string_view text) const {
    if (text.size() > longest_ || text.empty()) return -1;
    return slots_[position(text, hash_of(text))].id;
  }

  /// Length of the longest token in bytes.
  std::size_t longest() const { return longest_; }

 private:
  struct Slot {
    std::uint32_t hash = 0;
    int id = -1;  // -1: free
    std::size_t begin = 0, size = 0;
  };

  static std::uint64_t hash_of(std::string_view text) {
    std::uint64_t hash = text.size() * 0x9E3779B97F4A7C15u;
    const auto mix = [&](std::uint64_t word) {
      hash = (hash ^ word) * 0xD6E8FEB86659FD93u;
      hash ^= hash >> 32;
    };
    std::size_t at = 0;
    for (; at + 8 <= text.size(); at += 8) {
      std::uint64_t word;
      std::memcpy(&word, text.data() + at, sizeof word);
      mix(word);
    }
    std::uint64_t rest = 0;
    if (at < text.size()) std::memcpy(&rest, text.data() + at, text.size() - at);
    mix(rest);
    return hash * 0xA0761D6478BD642Fu;
  }

  std::size_t position(std::string_view text, std::uint64_t hash) const {
    const std::size_t mask = slots_.size() - 1;
    std::size_t at = (hash ^ hash >> 32) & mask;
    for (; slots_[at].id >= 0; at = (at + 1) & mask) {
      const Slot& slot = slots_[at];
      if (slot.hash == static_cast<std::uint32_t>(hash >> 32) && slot.size == text.size() &&
          std::memcmp(texts_.data() + slot.begin, text.data(), text.size()) == 0)
        break;
    }
    return at;
  }

  std::vector<Slot> slots_ = std::vector<Slot>(1);
  std::string texts_;
  std::size_t longest_ = 0;
};

}  // namespace moderngpt2::detail
