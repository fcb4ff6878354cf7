#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <queue>
#include <vector>

#include "moderngpt2/tokenizer/flat_map.hpp"
#include "moderngpt2/tokenizer/training/frequency_counts.hpp"
#include "moderngpt2/tokenizer/training/sentencepiece_symbols.hpp"

namespace moderngpt2::detail {

/// Pairs of adjacent symbols with their frequencies, in SentencePiece's order of merging (releases 0.1.99 and later,
/// bpe_model_trainer.cc):
///
/// - The pair with the highest frequency is next; then fewer characters, then the smaller text.
/// - Every 100 pieces, the active pairs become the 5% with the highest frequencies, at least 1000. Only these and pairs
///   with symbols made since are candidates. Pairs that have the lowest active frequency are all active here; in
///   SentencePiece some are, by their places in its hash table. This matters if a piece has this frequency, in small
///   texts for whose size the vocabulary is large: see LearnedPieces::first_tie.
/// - Two pairs with the same text and frequency: the one that came to be first, by the ages of its symbols, where
///   SentencePiece compares addresses.
///
/// Pairs are named by numbers from 0 on. The symbols must outlive it.
class SentencePiecePairs {
 public:
  static constexpr std::uint32_t none = ~std::uint32_t{0};

  /// `symbols`: number of symbols that SentencePiece has at the beginning.
  SentencePiecePairs(const SentencePieceSymbols& names, std::uint64_t symbols) : symbols_(names), cached_(symbols) {}

  std::size_t size() const { return pairs_.size(); }
  std::uint32_t left(std::uint32_t pair) const { return pairs_[pair].left; }
  std::uint32_t right(std::uint32_t pair) const { return pairs_[pair].right; }
  /// Number of a pair; none if it has no record.
  std::uint32_t find(std::uint32_t left, std::uint32_t right) const {
    const std::uint32_t* const found = numbers_.find(pair_key(left, right));
    return found ? *found : none;
  }

  /// Counts new pairs, recorded or not: their number decides how many are active.
  void count_new(std::uint64_t pairs) {
    bigrams_ += pairs;
    cached_ += pairs;
  }
  /// Records a new pair. Returns its number.
  std::uint32_t add(std::uint32_t left, std::uint32_t right, std::uint64_t frequency) {
    const auto number = static_cast<std::uint32_t>(pairs_.size());
    numbers_[pair_key(left, right)] = number;
    pairs_.push_back({left, right, frequency, 0, 0, updates_, true});
    frequencies_.add(frequency);
    candidates_.push({frequency, number});
    return number;
  }
  /// Lowers the frequency of a pair: a merge has removed `words` of its occurrences.
  void lose(std::uint32_t number, std::uint64_t words) {
    Pair& pair = pairs_[number];
    if (pair.cached) {
      set_frequency(pair, pair.frequency - words);
    } else if (pair.frequency != 0) {  // SentencePiece makes it again, without places
      pair.frequency = 0;
      count_new(1);
      frequencies_.add(0);
    }
  }
  /// Removes a chosen pair from the pairs that count.
  void take(std::uint32_t number) {
    Pair& pair = pairs_[number];
    frequencies_.remove(pair.frequency);
    pair.cached = false;
    --cached_;
    --bigrams_;
  }
  /// Removes all records.
  void clear() {
    pairs_.clear();
    numbers_ = FlatMap<std::uint32_t>();
    candidates_ = Candidates{After{this}};
    parked_.clear();
    frequencies_ = FrequencyCounts();
  }

  /// Chooses the active pairs anew.
  void update_active() {
    ++updates_;
    activate_all();
    const auto share = static_cast<int>(static_cast<float>(cached_) * 0.05f);
    const std::uint64_t size = std::min<std::uint64_t>(static_cast<std::uint64_t>(std::max(1000, share)), bigrams_);
    if (size < bigrams_) {
      const FrequencyCounts::Rank rank = frequencies_.highest(size);
      lowest_active_ = rank.frequency;
      ties_cut_ = rank.is_cut;
      if (rank.frequency == FrequencyCounts::most) {
        std::vector<std::uint64_t> high;
        for (const Pair& pair : pairs_)
          if (pair.cached && pair.frequency >= FrequencyCounts::most) high.push_back(pair.frequency);
        std::nth_element(high.begin(), high.begin() + static_cast<std::ptrdiff_t>(size - 1), high.end(),
                         std::greater<>());
        lowest_active_ = high[size - 1];
        ties_cut_ = true;
      }
    }
    for (const Candidate& candidate : parked_) candidates_.push(candidate);
    parked_.clear();
  }
  /// Makes all pairs active until the next update.
  void activate_all() {
    lowest_active_ = 0;
    ties_cut_ = false;
  }

  /// Whether no candidate is left.
  bool empty() const { return candidates_.empty(); }
  /// Removes the next pair from the candidates and returns it; none if no candidate has a frequency of at least
  /// `lowest`.
  std::uint32_t take_best(std::uint64_t lowest) {
    while (!candidates_.empty() && candidates_.top().frequency >= lowest) {
      Candidate top = candidates_.top();
      candidates_.pop();
      const Pair& pair = pairs_[top.pair];
      if (top.frequency != pair.frequency) {
        top.frequency = pair.frequency;
        candidates_.push(top);
        continue;
      }
      if (!is_active(pair)) {
        parked_.push_back(top);
        continue;
      }
      was_tie_ = ties_cut_ && pair.made != updates_ && before_update(pair) == lowest_active_;
      return top.pair;
    }
    return none;
  }
  /// Whether SentencePiece might not consider the pair that take_best() returned.
  bool was_tie() const { return was_tie_; }

 private:
  struct Pair {
    std::uint32_t left, right;
    std::uint64_t frequency;
    std::uint64_t frequency_before;  // at the last update of the active pairs, if changed since
    std::uint32_t changed, made;     // numbers of updates
    bool cached;                     // false: taken
  };
  struct Candidate {
    std::uint64_t frequency;
    std::uint32_t pair;
  };
  /// Whether candidate `a` comes after `b`.
  struct After {
    const SentencePiecePairs* pairs;
    bool operator()(const Candidate& a, const Candidate& b) const {
      if (a.frequency != b.frequency) return a.frequency < b.frequency;
      const Pair& x = pairs->pairs_[a.pair];
      const Pair& y = pairs->pairs_[b.pair];
      return pairs->symbols_.pair_comes_after(x.left, x.right, y.left, y.right);
    }
  };
  using Candidates = std::priority_queue<Candidate, std::vector<Candidate>, After>;

  void set_frequency(Pair& pair, std::uint64_t frequency) {
    if (pair.changed != updates_) {
      pair.changed = updates_;
      pair.frequency_before = pair.frequency;
    }
    frequencies_.remove(pair.frequency);
    frequencies_.add(frequency);
    pair.frequency = frequency;
  }
  bool is_active(const Pair& pair) const { return pair.made == updates_ || before_update(pair) >= lowest_active_; }
  std::uint64_t before_update(const Pair& pair) const {
    return pair.changed == updates_ ? pair.frequency_before : pair.frequency;
  }

  const SentencePieceSymbols& symbols_;
  std::vector<Pair> pairs_;
  FlatMap<std::uint32_t> numbers_;
  std::uint64_t cached_, bigrams_ = 0;  // as in SentencePiece: symbols and pairs that are not taken, and pairs
  FrequencyCounts frequencies_;         // pairs that are not taken and have a record
  Candidates candidates_{After{this}};
  std::vector<Candidate> parked_;  // candidates that are not active
  std::uint32_t updates_ = 0;
  std::uint64_t lowest_active_ = 0;
  bool ties_cut_ = false, was_tie_ = false;
};

}  // namespace moderngpt2::detail
