#pragma once

#include <algorithm>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <limits>
#include <optional>
#include <span>
#include <utility>
#include <vector>

#include "moderngpt2/tokenizer/flat_map.hpp"

namespace moderngpt2::detail {

/// Bloom filter with one hash function over the pairs of character ids at the inner borders of merges. About one in
/// sixteen other pairs is a false positive; there are no false negatives. Small enough for a core's L2 cache.
class BorderFilter {
 public:
  explicit BorderFilter(std::size_t pairs) {
    const std::size_t bits = std::bit_ceil(std::clamp(16 * pairs, std::size_t{1} << 12, std::size_t{1} << 23));
    shift_ = 64 - std::countr_zero(bits);
    words_.resize(bits / 64);
  }

  void insert(int left, int right) {
    const std::uint64_t at = bit(left, right);
    words_[at / 64] |= std::uint64_t{1} << (at % 64);
  }
  bool may_contain(int left, int right) const {
    const std::uint64_t at = bit(left, right);
    return words_[at / 64] >> (at % 64) & 1;
  }

 private:
  std::uint64_t bit(int left, int right) const {
    const auto l = static_cast<std::uint64_t>(left), r = static_cast<std::uint64_t>(right);
    return (l * 0x9E3779B97F4A7C15u + r * 0xD6E8FEB86659FD93u) >> shift_;
  }

  int shift_;
  std::vector<std::uint64_t> words_;
};

/// Merge rule of byte pair encoding: `left` followed by `right` becomes `result`.
struct BpeMerge {
  int left, right, result;  ///< ids
  std::uint32_t rank;       ///< below 2^32-1; the lowest is applied first; several merges may have the same
};

/// Merge rules as hash tables. Applies merges to symbols: lowest rank first, leftmost first among equals. Of several
/// rules with the same left and right side, the last one in the list counts, as in `tokenizers`.
class BpeMerges {
 public:
  static constexpr std::size_t few = 32;  // maximum number of symbols for merge_few()

  /// `first_characters[id]` is the id of each token's first character, or -1 for a token that no text begins with.
  BpeMerges(std::span<const BpeMerge> merges, std::vector<int> first_characters)
      : merges_(merges.size()), crossings_(merges.size()), first_characters_(std::move(first_characters)) {
    for (const BpeMerge& merge : merges) {
      merges_.set(pair_key(merge.left, merge.right),
                  std::uint64_t{merge.rank} << 32 | static_cast<std::uint32_t>(merge.result));
      const int first = first_characters_[static_cast<std::size_t>(merge.right)];
      if (first < 0) continue;
      const std::uint64_t key = pair_key(merge.left, first);
      const std::uint32_t* lowest = crossings_.find(key);
      if (!lowest || merge.rank < *lowest) crossings_.set(key, merge.rank);
    }
  }

  /// Merge of two adjacent symbols.
  struct Found {
    std::uint32_t rank;
    int result;
  };
  std::optional<Found> find(int left, int right) const {
    const std::uint64_t merge = merge_of(left, right);
    if (merge == none) return std::nullopt;
    return Found{static_cast<std::uint32_t>(merge >> 32), result_of(merge)};
  }

  /// Merges at most `few` symbols in place. Returns the number of symbols left.
  std::size_t merge_few(std::span<int> symbols) const {
    std::uint64_t merges[few + 1];  // merge of each symbol with the next one
    std::size_t n = symbols.size();
    if (n < 2) return n;
    for (std::size_t i = 0; i + 1 < n; ++i) merges[i] = merge_of(symbols[i], symbols[i + 1]);
    while (true) {
      merges[n - 1] = none;
      std::uint64_t lowest = none >> 32;
      std::size_t at = 0;
      for (std::size_t i = 0; i + 1 < n; ++i) {
        at = merges[i] >> 32 < lowest ? i : at;
        lowest = std::min(lowest, merges[i] >> 32);
      }
      if (lowest == none >> 32) return n;
      symbols[at] = result_of(merges[at]);
      --n;
      for (std::size_t i = at + 1; i < n; ++i) {
        symbols[i] = symbols[i + 1];
        merges[i] = merges[i + 1];
      }
      if (at > 0) merges[at - 1] = merge_of(symbols[at - 1], symbols[at]);
      if (at + 1 < n) merges[at] = merge_of(symbols[at], symbols[at + 1]);
    }
  }

  /// Merges any number of symbols (below 2^31), initially characters, in place. Returns how many of them, from the
  /// left, no later text can change; the rest is left in an unspecified state. `following` is the next character after
  /// the symbols, or -1 at the end of the text, where all symbols are final.
  ///
  /// A symbol of several characters has its id at the position of the first; the positions of the second and the last
  /// hold minus the number of characters, which links symbols in both directions without more memory.
  ///
  /// Before the end of the text, the symbol before the frontier may still merge with later text, at `bound` (rank,
  /// position) or later. A merge that comes before the bound is therefore also the next local merge in the whole text.
  /// Otherwise the last symbol is discarded and the frontier moves before it.
  std::size_t merge_many(std::span<int> symbols, int following, std::vector<std::uint64_t>& queue) const {
    std::size_t frontier = symbols.size();
    std::size_t last = frontier - 1;
    const auto next = [&](std::size_t at) {
      return at + 1 < symbols.size() && symbols[at + 1] < 0 ? at + length(symbols[at + 1]) : at + 1;
    };
    const auto previous = [&](std::size_t at) { return symbols[at - 1] < 0 ? at - length(symbols[at - 1]) : at - 1; };
    const auto bound_now = [&] { return following < 0 ? none : queue_entry(crossing(symbols[last], following), last); };

    queue.clear();
    for (std::size_t i = 0; i + 1 < frontier; ++i)
      if (const std::uint64_t merge = merge_of(symbols[i], symbols[i + 1]); merge != none)
        queue.push_back(queue_entry(merge, i));
    std::make_heap(queue.begin(), queue.end(), std::greater<>());
    const auto offer = [&](std::size_t at, std::size_t right) {
      const std::uint64_t merge = merge_of(symbols[at], symbols[right]);
      if (merge == none) return;
      queue.push_back(queue_entry(merge, at));
      std::push_heap(queue.begin(), queue.end(), std::greater<>());
    };

    std::uint64_t bound = bound_now();
    while (true) {
      const std::uint64_t top = queue.empty() ? none : queue.front();
      if (top >= bound) {
        if (bound == none) return frontier;
        following = first_characters_[static_cast<std::size_t>(symbols[last])];
        frontier = last;
        if (frontier == 0) return 0;
        last = previous(last);
        bound = bound_now();
        continue;
      }
      std::pop_heap(queue.begin(), queue.end(), std::greater<>());
      queue.pop_back();
      const std::size_t at = top & 0xFFFFFFFF;
      if (at >= frontier || symbols[at] < 0) continue;
      const std::size_t right = next(at);
      if (right >= frontier) continue;
      const std::uint64_t merge = merge_of(symbols[at], symbols[right]);
      if (merge == none || merge >> 32 != top >> 32) continue;  // the pair has changed since it was queued
      const std::size_t end = next(right);
      symbols[right] = dead;
      symbols[at] = result_of(merge);
      symbols[at + 1] = symbols[end - 1] = -static_cast<int>(end - at);
      if (at > 0) offer(previous(at), at);
      if (end < frontier) offer(at, end);
      if (right == last) {
        last = at;
        bound = bound_now();
      }
    }
  }

  /// Merges a whole text of initial symbols (below 2^31) and appends the ids that are left. Changes `symbols`.
  void merge_all(std::span<int> symbols, std::vector<int>& ids) const {
    if (symbols.size() <= few) {
      const std::size_t count = merge_few(symbols);
      ids.insert(ids.end(), symbols.begin(), symbols.begin() + static_cast<std::ptrdiff_t>(count));
      return;
    }
    std::vector<std::uint64_t> queue;
    merge_many(symbols, -1, queue);
    for (std::size_t at = 0; at < symbols.size(); at += length_of_first(symbols.subspan(at)))
      ids.push_back(symbols[at]);
  }

  /// Number of characters of the first symbol in the output of merge_many().
  static std::size_t length_of_first(std::span<const int> symbols) {
    return symbols.size() > 1 && symbols[1] < 0 ? length(symbols[1]) : 1;
  }

 private:
  static constexpr std::uint64_t none = std::numeric_limits<std::uint64_t>::max();
  static constexpr int dead = -1;

  static std::size_t length(int link) { return static_cast<std::size_t>(-static_cast<std::int64_t>(link)); }
  static int result_of(std::uint64_t merge) { return static_cast<int>(merge & 0xFFFFFFFF); }
  static std::uint64_t queue_entry(std::uint64_t merge, std::size_t at) {
    return merge == none ? none : (merge & ~std::uint64_t{0xFFFFFFFF}) | at;
  }

  /// Rank << 32 | id of the merge's result, or `none`.
  std::uint64_t merge_of(int left, int right) const {
    const std::uint64_t* found = merges_.find(pair_key(left, right));
    return found ? *found : none;
  }
  /// Lowest rank << 32 among merges of `left` with a token that begins with `character`, or `none`.
  std::uint64_t crossing(int left, int character) const {
    const std::uint32_t* rank = crossings_.find(pair_key(left, character));
    return rank ? std::uint64_t{*rank} << 32 : none;
  }

  FlatMap<std::uint64_t> merges_;
  FlatMap<std::uint32_t> crossings_;
  std::vector<int> first_characters_;
};

}  // namespace moderngpt2::detail
