#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <map>
#include <memory>
#include <span>
#include <thread>
#include <utility>
#include <vector>

#include "moderngpt2/core/error.hpp"
#include "moderngpt2/core/parallel.hpp"
#include "moderngpt2/core/start_thread.hpp"

namespace moderngpt2::detail {

/// Calls f(part, begin, end) in `threads` threads for contiguous parts of [0, size), the last one by the caller.
template <class F>
void in_parts(int threads, std::uint32_t size, F&& f) {
  std::vector<std::thread> started;
  const auto cut = [&](int part) {
    return static_cast<std::uint32_t>(std::uint64_t{size} * unsigned(part) / unsigned(threads));
  };
  const auto join = [&] {
    for (std::thread& thread : started) thread.join();
  };
  ExceptionKeeper keeper;
  try {
    for (int part = 0; part + 1 < threads; ++part)
      started.push_back(
          start_thread<std::thread>([&, part] { keeper.run([&] { f(part, cut(part), cut(part + 1)); }); }));
  } catch (...) {
    join();
    throw;
  }
  keeper.run([&] { f(threads - 1, cut(threads - 1), size); });
  join();
  keeper.rethrow();
}

/// Words as sequences of symbols in one array, in descending order of their counts, with a boundary before and after
/// each. Merging two symbols leaves the new one in the place of the left one and marks the place of the right one as
/// merged. Slot: std::uint16_t if there are few symbols, which halves the memory, or std::uint32_t.
template <class Slot>
class MergeText {
 public:
  static constexpr Slot merged = std::numeric_limits<Slot>::max(), boundary = merged - 1;
  static constexpr std::size_t most_symbols = boundary;

  /// `sizes`: by count, the number of symbols in all words with this count plus one for each word.
  explicit MergeText(const std::map<std::uint64_t, std::size_t>& sizes) {
    std::size_t total = 1;
    for (auto at = sizes.rbegin(); at != sizes.rend(); ++at) {
      runs_.push_back({total, total, at->first});
      numbers_[at->first] = runs_.size() - 1;
      total += at->second;
    }
    if (total > std::numeric_limits<std::uint32_t>::max())
      throw Error("training: {} characters in different words are more than {}: set {} lower", total,
                  std::numeric_limits<std::uint32_t>::max(), Setting{"max_memory"});
    slots_.assign(total, boundary);
  }

  void add(std::span<const std::uint32_t> symbols, std::uint64_t count) {
    Run& run = runs_[numbers_.at(count)];
    for (const std::uint32_t symbol : symbols) slots_[run.filled++] = static_cast<Slot>(symbol);
    ++run.filled;
  }

  std::uint32_t size() const { return static_cast<std::uint32_t>(slots_.size()); }
  std::uint32_t operator[](std::uint32_t at) const { return slots_[at]; }
  /// Next symbol or boundary after `at`.
  std::uint32_t next(std::uint32_t at) const {
    do ++at;
    while (slots_[at] == merged);
    return at;
  }
  std::uint32_t previous(std::uint32_t at) const {
    do --at;
    while (slots_[at] == merged);
    return at;
  }
  void merge(std::uint32_t left, std::uint32_t right, std::uint32_t symbol) {
    slots_[left] = static_cast<Slot>(symbol);
    slots_[right] = merged;
  }
  /// Whether a word has a symbol or a merged place at `at`.
  bool is_inside(std::uint32_t at) const { return slots_[at] != boundary; }
  void prefetch(std::uint32_t at) const { __builtin_prefetch(&slots_[at]); }

  /// Count of the word at `at`.
  std::uint64_t count(std::uint32_t at) const {
    if (at >= runs_.back().begin) return runs_.back().count;
    const auto after = std::upper_bound(runs_.begin(), runs_.end(), at,
                                        [](std::uint32_t place, const Run& run) { return place < run.begin; });
    return (after - 1)->count;
  }

  /// Calls f(left, right, place, count) for each pair of adjacent symbols with its left place in [begin, end).
  template <class F>
  void for_each_pair(std::uint32_t begin, std::uint32_t end, F&& f) const {
    if (begin >= end || runs_.empty()) return;
    auto run = std::upper_bound(runs_.begin(), runs_.end(), std::max<std::size_t>(begin, 1),
                                [](std::size_t place, const Run& r) { return place < r.begin; }) -
               1;
    for (std::uint32_t at = begin; at < end; ++at) {
      if (slots_[at] >= boundary) continue;
      while (run + 1 != runs_.end() && at >= (run + 1)->begin) ++run;
      const std::uint32_t right = next(at);
      if (slots_[right] != boundary) f(std::uint32_t{slots_[at]}, std::uint32_t{slots_[right]}, at, run->count);
    }
  }
  bool empty() const { return slots_.size() <= 1; }
  std::size_t bytes() const { return slots_.size() * sizeof(Slot); }

 private:
  struct Run {
    std::size_t begin, filled;
    std::uint64_t count;
  };

  std::vector<Slot> slots_;
  std::vector<Run> runs_;  // words with the same count
  std::map<std::uint64_t, std::size_t> numbers_;
};

}  // namespace moderngpt2::detail
