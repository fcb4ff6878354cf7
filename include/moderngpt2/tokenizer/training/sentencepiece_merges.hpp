#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <queue>
#include <string>
#include <string_view>
#include <unordered_set>
#include <utility>
#include <vector>

#include "moderngpt2/core/error.hpp"
#include "moderngpt2/tokenizer/training/frequency_counts.hpp"
#include "moderngpt2/tokenizer/training/merge_text.hpp"
#include "moderngpt2/tokenizer/training/sentencepiece_symbols.hpp"

namespace moderngpt2::detail {

/// Learns the pieces of a BPE model by merging the most frequent pairs, in SentencePiece's order (releases 0.1.99 and
/// later, bpe_model_trainer.cc):
///
/// - The pair with the highest frequency is next; then fewer characters, then the smaller text. A text that is a piece
///   already is left out, and its pair is never merged.
/// - Every 100 pieces, the active pairs become the 5% with the highest frequencies, at least 1000. Only these and pairs
///   with symbols made since are candidates. Pairs that have the lowest active frequency are all active here; in
///   SentencePiece some are, by their places in its hash table. This matters if a piece has this frequency, in small
///   texts for whose size the vocabulary is large: see LearnedPieces::first_tie.
/// - Two pairs with the same text and frequency: the one that came to be first, by the ages of its symbols, where
///   SentencePiece compares addresses.
///
/// Frequencies are those of all adjacent pairs, so that "aaa" has "aa" twice. Pairs below a lowest frequency have no
/// record, which bounds the memory: if the best pair is below it, it is lowered and the pairs are counted again.
template <class Slot>
class SentencePieceMerges {
 public:
  /// `most_bytes` for the places of pairs; `has_unknown`: the text has characters without a symbol.
  SentencePieceMerges(MergeText<Slot>& text, SentencePieceSymbols& symbols, std::size_t wanted, std::size_t most_bytes,
                      bool has_unknown, int threads)
      : text_(text),
        symbols_(symbols),
        wanted_(wanted),
        most_bytes_(most_bytes),
        threads_(threads),
        cached_(symbols.size() + (has_unknown ? 1 : 0)) {}

  /// `progress(pieces)` is called after each piece.
  LearnedPieces learn(const std::function<void(std::size_t)>& progress) {
    PairMap<std::uint64_t> frequencies = count_pairs();
    choose_lowest(frequencies);
    frequencies.for_each([&](std::uint64_t, std::uint64_t frequency) { bigrams_ += frequency > 0; });
    cached_ += bigrams_;
    record_pairs(std::exchange(frequencies, {}));
    std::unordered_set<std::string> known;
    while (result_.pieces.size() < wanted_) {
      if (result_.pieces.size() % 100 == 0) {
        if (place_bytes_ > most_bytes_) recount();
        update_active();
      }
      const std::uint32_t best = take_best();
      if (best == none) break;
      Pair& pair = pairs_[best];
      const std::string text = symbols_.text(pair.left) + symbols_.text(pair.right);
      forget(best);
      if (!known.insert(text).second) {
        taken_.insert(PairMap<std::uint32_t>::key(pair.left, pair.right));
        continue;
      }
      result_.pieces.push_back(text);
      if (result_.first_tie < 0 && was_tie_) result_.first_tie = static_cast<std::int64_t>(result_.pieces.size()) - 1;
      merge(best, symbols_.join(pair.left, pair.right));
      progress(result_.pieces.size());
    }
    return std::move(result_);
  }

 private:
  static constexpr std::uint32_t none = ~std::uint32_t{0};
  static constexpr std::uint32_t few_places = 1 << 24;

  struct Pair {
    std::uint32_t left, right;
    std::uint64_t frequency = 0;
    std::uint64_t frequency_before = 0;   // at the last update of the active pairs, if changed since
    std::uint32_t changed = 0, made = 0;  // numbers of updates
    bool cached = true;                   // false: taken
    std::uint32_t places = 0;             // number
    const std::uint32_t* first = nullptr;
    std::unique_ptr<std::uint32_t[]> own;
  };
  struct Candidate {
    std::uint64_t frequency;
    std::uint32_t pair;
  };
  /// Whether candidate `a` comes after `b`.
  struct After {
    const SentencePieceMerges* merges;
    bool operator()(const Candidate& a, const Candidate& b) const {
      if (a.frequency != b.frequency) return a.frequency < b.frequency;
      const Pair& x = merges->pairs_[a.pair];
      const Pair& y = merges->pairs_[b.pair];
      return merges->symbols_.pair_comes_after(x.left, x.right, y.left, y.right);
    }
  };

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

  /// Removes a chosen pair from the pairs that count.
  void forget(std::uint32_t number) {
    Pair& pair = pairs_[number];
    frequencies_.remove(pair.frequency);
    pair.cached = false;
    --cached_;
    --bigrams_;
  }

  /// Frequencies of all pairs that may merge.
  PairMap<std::uint64_t> count_pairs() const {
    std::vector<PairMap<std::uint64_t>> parts(static_cast<std::size_t>(threads_));
    in_parts(threads_, text_.size(), [&](int part, std::uint32_t begin, std::uint32_t end) {
      PairMap<std::uint64_t>& frequencies = parts[static_cast<std::size_t>(part)];
      text_.for_each_pair(begin, end, [&](std::uint32_t left, std::uint32_t right, std::uint32_t, std::uint64_t count) {
        if (symbols_.may_join(left, right)) frequencies[PairMap<std::uint64_t>::key(left, right)] += count;
      });
    });
    for (std::size_t part = 1; part < parts.size(); ++part) {
      parts[part].for_each([&](std::uint64_t key, std::uint64_t frequency) { parts[0][key] += frequency; });
      parts[part] = PairMap<std::uint64_t>();
    }
    return std::move(parts[0]);
  }

  /// Large texts: pairs much rarer than the wanted number of pairs are unlikely to become pieces.
  void choose_lowest(const PairMap<std::uint64_t>& frequencies) {
    if (text_.size() < few_places || frequencies.size() <= wanted_) return;
    std::vector<std::uint64_t> all;
    frequencies.for_each([&](std::uint64_t, std::uint64_t frequency) { all.push_back(frequency); });
    std::nth_element(all.begin(), all.begin() + std::ptrdiff_t(wanted_), all.end(), std::greater<>());
    lowest_ = all[wanted_] / 4;
  }

  /// Records the pairs with a frequency of at least lowest_, and their places.
  void record_pairs(const PairMap<std::uint64_t>& frequencies) {
    frequencies.for_each([&](std::uint64_t key, std::uint64_t frequency) {
      if (frequency >= lowest_ && !taken_.count(key))
        add_pair(static_cast<std::uint32_t>(key >> 32), static_cast<std::uint32_t>(key), frequency);
    });
    // By thread and pair: the number of places, then the end of those written.
    std::vector<std::vector<std::uint32_t>> ends(static_cast<std::size_t>(threads_));
    const auto for_each_place = [&](auto&& f) {
      in_parts(threads_, text_.size(), [&](int part, std::uint32_t begin, std::uint32_t end) {
        std::vector<std::uint32_t>& own = ends[static_cast<std::size_t>(part)];
        own.resize(pairs_.size());
        text_.for_each_pair(begin, end, [&](std::uint32_t left, std::uint32_t right, std::uint32_t at, std::uint64_t) {
          const std::uint32_t* const found = numbers_.find(PairMap<std::uint32_t>::key(left, right));
          if (found) f(own[*found], at);
        });
      });
    };
    for_each_place([](std::uint32_t& number, std::uint32_t) { ++number; });
    std::uint32_t places = 0;
    for (std::size_t pair = 0; pair < pairs_.size(); ++pair) {
      const std::uint32_t begin = places;
      for (auto& own : ends) places += std::exchange(own[pair], places);
      pairs_[pair].places = places - begin;
    }
    initial_.reset(new std::uint32_t[places]);
    place_bytes_ = places * sizeof(std::uint32_t);
    const std::uint32_t* begin = initial_.get();
    for (Pair& pair : pairs_) {
      pair.first = begin;
      begin += pair.places;
    }
    for_each_place([&](std::uint32_t& end, std::uint32_t at) { initial_[end++] = at; });
  }

  /// Makes all records anew, which frees those of pairs that no longer exist.
  void recount() {
    pairs_.clear();
    numbers_ = PairMap<std::uint32_t>();
    initial_.reset();
    candidates_ = std::priority_queue<Candidate, std::vector<Candidate>, After>{After{this}};
    parked_.clear();
    frequencies_ = FrequencyCounts();
    record_pairs(count_pairs());
    most_bytes_ = std::max(most_bytes_, place_bytes_ + place_bytes_ / 2);
  }

  std::uint32_t add_pair(std::uint32_t left, std::uint32_t right, std::uint64_t frequency) {
    const auto number = static_cast<std::uint32_t>(pairs_.size());
    numbers_[PairMap<std::uint32_t>::key(left, right)] = number;
    Pair& pair = pairs_.emplace_back();
    pair.left = left;
    pair.right = right;
    pair.frequency = frequency;
    pair.made = updates_;
    frequencies_.add(frequency);
    candidates_.push({frequency, number});
    return number;
  }

  void update_active() {
    ++updates_;
    lowest_active_ = 0;
    ties_cut_ = false;
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

  std::uint32_t take_best() {
    while (!candidates_.empty() || lowest_ > 1) {
      if (candidates_.empty() || candidates_.top().frequency < lowest_) {  // pairs without a record may be better
        was_tie_ = was_tie_ || lowest_active_ >= lowest_;
        lowest_ /= 8;
        lowest_active_ = 0;
        ties_cut_ = false;
        recount();
        continue;
      }
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

  /// Merges a pair in all its places.
  void merge(std::uint32_t best, std::uint32_t symbol) {
    const std::uint32_t left = pairs_[best].left, right = pairs_[best].right;
    before_.assign(symbols_.size(), none);
    after_.assign(symbols_.size(), none);
    fresh_.clear();
    found_.clear();
    const std::uint32_t* const places = pairs_[best].first;
    const std::uint32_t count = pairs_[best].places;
    for (std::uint32_t i = 0; i < count; ++i) {
      if (i + 16 < count) text_.prefetch(places[i + 16]);
      const std::uint32_t at = places[i];
      if (text_[at] != left) continue;
      const std::uint32_t other = text_.next(at);
      if (text_[other] != right) continue;
      const std::uint64_t words = text_.count(at);
      const std::uint32_t previous = text_.previous(at), next = text_.next(other);
      if (text_[previous] != text_.boundary) lose(text_[previous], left, words, best);
      if (text_[next] != text_.boundary) lose(right, text_[next], words, best);
      text_.merge(at, other, symbol);
      if (text_[previous] != text_.boundary) gain(before_[text_[previous]], text_[previous], symbol, previous, words);
      if (text_[next] != text_.boundary) gain(after_[text_[next]], symbol, text_[next], at, words);
    }
    if (pairs_[best].own) place_bytes_ -= sizeof(std::uint32_t) * count;
    pairs_[best].own.reset();
    pairs_[best].places = 0;
    keep_fresh();
  }
  /// A pair that a merge makes.
  struct Fresh {
    std::uint32_t left, right;
    std::uint64_t frequency;
    std::uint32_t places, number;
  };

  void lose(std::uint32_t left, std::uint32_t right, std::uint64_t words, std::uint32_t best) {
    if (left + 1 == symbols_.size() || right + 1 == symbols_.size()) {  // made in this merge
      const std::uint32_t fresh = right + 1 == symbols_.size() ? before_[left] : after_[right];
      if (fresh != none) fresh_[fresh].frequency -= words;
      return;
    }
    std::uint32_t* const found = numbers_.find(PairMap<std::uint32_t>::key(left, right));
    if (!found || *found == best) return;
    Pair& pair = pairs_[*found];
    if (pair.cached) {
      set_frequency(pair, pair.frequency - words);
    } else if (pair.frequency != 0) {  // SentencePiece makes it again, without places
      pair.frequency = 0;
      ++cached_;
      ++bigrams_;
      frequencies_.add(0);
    }
  }
  void gain(std::uint32_t& fresh, std::uint32_t left, std::uint32_t right, std::uint32_t at, std::uint64_t words) {
    if (fresh == none) {
      if (!symbols_.may_join(left, right)) return;
      fresh = static_cast<std::uint32_t>(fresh_.size());
      fresh_.push_back({left, right, 0, 0, 0});
    }
    fresh_[fresh].frequency += words;
    ++fresh_[fresh].places;
    found_.push_back({fresh, at});
  }

  void keep_fresh() {
    bigrams_ += fresh_.size();
    cached_ += fresh_.size();
    for (Fresh& fresh : fresh_) {
      fresh.number = fresh.frequency < lowest_ ? none : add_pair(fresh.left, fresh.right, fresh.frequency);
      if (fresh.number == none) continue;
      Pair& pair = pairs_[fresh.number];
      pair.own.reset(new std::uint32_t[fresh.places]);
      pair.first = pair.own.get();
      place_bytes_ += sizeof(std::uint32_t) * fresh.places;
    }
    for (const auto& [fresh, at] : found_)
      if (const std::uint32_t number = fresh_[fresh].number; number != none) {
        Pair& pair = pairs_[number];
        pair.own[pair.places++] = at;
      }
  }

  MergeText<Slot>& text_;
  SentencePieceSymbols& symbols_;
  std::size_t wanted_, most_bytes_;
  int threads_;
  std::uint64_t cached_, bigrams_ = 0;  // as in SentencePiece: symbols and pairs that are not taken, and pairs
  std::uint64_t lowest_ = 0;            // frequency of the rarest pair with a record
  std::size_t place_bytes_ = 0;
  std::unordered_set<std::uint64_t> taken_;  // pairs whose text is a piece already
  std::vector<Pair> pairs_;
  PairMap<std::uint32_t> numbers_;
  std::unique_ptr<std::uint32_t[]> initial_;
  FrequencyCounts frequencies_;  // pairs that are not taken and have a record
  std::priority_queue<Candidate, std::vector<Candidate>, After> candidates_{After{this}};
  std::vector<Candidate> parked_;
  std::uint32_t updates_ = 0;
  std::uint64_t lowest_active_ = 0;
  bool ties_cut_ = false, was_tie_ = false;
  std::vector<std::uint32_t> before_, after_;
  std::vector<Fresh> fresh_;
  std::vector<std::pair<std::uint32_t, std::uint32_t>> found_;
  LearnedPieces result_;
};

}  // namespace moderngpt2::detail
