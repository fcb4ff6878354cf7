#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <queue>
#include <span>
#include <tuple>
#include <vector>

#include "moderngpt2/core/random.hpp"
#include "moderngpt2/core/separate_compilation.hpp"
#include "moderngpt2/tokenizer/models/bpe_merges.hpp"

namespace moderngpt2::detail {

/// Sequence of uniform random numbers for BPE dropout.
class Rng {
 public:
  explicit Rng(std::uint64_t seed) : seed_(mix64(seed)) {}

  /// Double in [0, 1).
  double uniform() { return static_cast<double>(mix64(seed_ ^ mix64(count_++)) >> 11) * 0x1p-53; }

 private:
  std::uint64_t seed_, count_ = 0;
};

/// Maximum number of characters or bytes that are merged at once with dropout.
inline constexpr std::size_t dropout_part = std::size_t{1} << 20;

/// Merges with BPE dropout (Provilkov et al. 2020) as in `tokenizers`: each time a merge comes to the head of the
/// queue, it is skipped with probability `dropout`; skipped merges return to the queue when the next merge is applied.
/// Merges `symbols` in place and returns how many are left. Uses 16 bytes a symbol and the queue.
std::size_t merge_with_dropout(const BpeMerges& merges, std::span<int> symbols, double dropout, Rng& random);

}  // namespace moderngpt2::detail

#ifndef MODERNGPT2_DECLARE_FILES

namespace moderngpt2::detail {

MODERNGPT2_INLINE std::size_t merge_with_dropout(const BpeMerges& merges, std::span<int> symbols, double dropout,
                                                 Rng& random) {
  constexpr auto none = static_cast<std::size_t>(-1);
  using Entry = std::tuple<std::uint32_t, std::size_t, int>;  // rank, position, result
  std::priority_queue<Entry, std::vector<Entry>, std::greater<>> queue;
  std::vector<Entry> skipped;
  std::vector<std::size_t> next(symbols.size()), previous(symbols.size());
  std::vector<bool> merged(symbols.size(), false);  // into the symbol to the left
  const auto offer = [&](std::size_t left, std::size_t right) {
    if (const auto merge = merges.find(symbols[left], symbols[right])) queue.emplace(merge->rank, left, merge->result);
  };
  for (std::size_t i = 0; i < symbols.size(); ++i) {
    previous[i] = i == 0 ? none : i - 1;
    next[i] = i + 1 == symbols.size() ? none : i + 1;
    if (next[i] != none) offer(i, i + 1);
  }
  while (!queue.empty()) {
    const Entry top = queue.top();
    queue.pop();
    if (random.uniform() < dropout) {
      skipped.push_back(top);
      continue;
    }
    for (const Entry& entry : skipped) queue.push(entry);
    skipped.clear();
    const auto [rank, at, result] = top;
    if (merged[at] || next[at] == none) continue;
    const std::size_t right = next[at];
    const auto merge = merges.find(symbols[at], symbols[right]);
    if (!merge || merge->result != result) continue;  // the pair has changed since it was queued
    symbols[at] = result;
    merged[right] = true;
    next[at] = next[right];
    if (next[at] != none) {
      previous[next[at]] = at;
      offer(at, next[at]);
    }
    if (previous[at] != none) offer(previous[at], at);
  }
  std::size_t count = 0;
  for (std::size_t i = 0; i < symbols.size(); ++i)
    if (!merged[i]) symbols[count++] = symbols[i];
  return count;
}

}  // namespace moderngpt2::detail

#endif
