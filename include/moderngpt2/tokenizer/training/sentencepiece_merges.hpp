#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <unordered_set>
#include <utility>
#include <vector>

#include "moderngpt2/tokenizer/flat_map.hpp"
#include "moderngpt2/tokenizer/training/frequency_counts.hpp"
#include "moderngpt2/tokenizer/training/merge_text.hpp"
#include "moderngpt2/tokenizer/training/sentencepiece_pairs.hpp"
#include "moderngpt2/tokenizer/training/sentencepiece_symbols.hpp"

namespace moderngpt2::detail {

/// Learns the pieces of a BPE model by merging pairs in a text, in the order of SentencePiecePairs. A text that is a
/// piece already is left out, and its pair is never merged.
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
        pairs_(symbols, symbols.size() + (has_unknown ? 1 : 0)) {}

  /// `progress(pieces)` is called after each piece.
  LearnedPieces learn(const std::function<void(std::size_t)>& progress) {
    FlatMap<std::uint64_t> frequencies = count_pairs();
    choose_lowest(frequencies);
    std::uint64_t existing = 0;
    frequencies.for_each([&](std::uint64_t, std::uint64_t frequency) { existing += frequency > 0; });
    pairs_.count_new(existing);
    record_pairs(std::exchange(frequencies, FlatMap<std::uint64_t>()));
    std::unordered_set<std::string> known;
    while (result_.pieces.size() < wanted_) {
      if (result_.pieces.size() % 100 == 0) {
        if (place_bytes_ > most_bytes_) recount();
        pairs_.update_active();
      }
      const std::uint32_t best = take_best();
      if (best == none) break;
      const std::uint32_t left = pairs_.left(best), right = pairs_.right(best);
      const std::string text = symbols_.text(left) + symbols_.text(right);
      pairs_.take(best);
      if (!known.insert(text).second) {
        taken_.insert(pair_key(left, right));
        continue;
      }
      result_.pieces.push_back(text);
      if (result_.first_tie < 0 && pairs_.was_tie())
        result_.first_tie = static_cast<std::int64_t>(result_.pieces.size()) - 1;
      merge(best, symbols_.join(left, right));
      progress(result_.pieces.size());
    }
    return std::move(result_);
  }

 private:
  static constexpr std::uint32_t none = SentencePiecePairs::none;
  static constexpr std::uint32_t few_places = 1 << 24;

  /// Places of a pair in the text: one for each of its occurrences, and those where it has been since.
  struct Places {
    std::uint32_t count = 0;
    const std::uint32_t* first = nullptr;
    std::unique_ptr<std::uint32_t[]> own{};  // null: in initial_
  };

  /// Frequencies of all pairs that may merge.
  FlatMap<std::uint64_t> count_pairs() const {
    std::vector<FlatMap<std::uint64_t>> parts(static_cast<std::size_t>(threads_));
    in_parts(threads_, text_.size(), [&](int part, std::uint32_t begin, std::uint32_t end) {
      FlatMap<std::uint64_t>& frequencies = parts[static_cast<std::size_t>(part)];
      text_.for_each_pair(begin, end, [&](std::uint32_t left, std::uint32_t right, std::uint32_t, std::uint64_t count) {
        if (symbols_.may_join(left, right)) frequencies[pair_key(left, right)] += count;
      });
    });
    for (std::size_t part = 1; part < parts.size(); ++part) {
      parts[part].for_each([&](std::uint64_t key, std::uint64_t frequency) { parts[0][key] += frequency; });
      parts[part] = FlatMap<std::uint64_t>();
    }
    return std::move(parts[0]);
  }

  /// Large texts: pairs much rarer than the wanted number of pairs are unlikely to become pieces.
  void choose_lowest(const FlatMap<std::uint64_t>& frequencies) {
    if (text_.size() < few_places || frequencies.size() <= wanted_) return;
    std::vector<std::uint64_t> all;
    frequencies.for_each([&](std::uint64_t, std::uint64_t frequency) { all.push_back(frequency); });
    std::nth_element(all.begin(), all.begin() + std::ptrdiff_t(wanted_), all.end(), std::greater<>());
    lowest_ = all[wanted_] / 4;
  }

  /// Records the pairs with a frequency of at least lowest_, and their places.
  void record_pairs(const FlatMap<std::uint64_t>& frequencies) {
    frequencies.for_each([&](std::uint64_t key, std::uint64_t frequency) {
      if (frequency >= lowest_ && !taken_.count(key))
        pairs_.add(static_cast<std::uint32_t>(key >> 32), static_cast<std::uint32_t>(key), frequency);
    });
    // By thread and pair: the number of places, then the end of those written.
    std::vector<std::vector<std::uint32_t>> ends(static_cast<std::size_t>(threads_));
    const auto for_each_place = [&](auto&& f) {
      in_parts(threads_, text_.size(), [&](int part, std::uint32_t begin, std::uint32_t end) {
        std::vector<std::uint32_t>& own = ends[static_cast<std::size_t>(part)];
        own.resize(pairs_.size());
        text_.for_each_pair(begin, end, [&](std::uint32_t left, std::uint32_t right, std::uint32_t at, std::uint64_t) {
          if (const std::uint32_t pair = pairs_.find(left, right); pair != none) f(own[pair], at);
        });
      });
    };
    for_each_place([](std::uint32_t& number, std::uint32_t) { ++number; });
    places_.resize(pairs_.size());
    std::uint32_t total = 0;
    for (std::size_t pair = 0; pair < places_.size(); ++pair) {
      const std::uint32_t begin = total;
      for (auto& own : ends) total += std::exchange(own[pair], total);
      places_[pair].count = total - begin;
    }
    initial_.reset(new std::uint32_t[total]);
    place_bytes_ = total * sizeof(std::uint32_t);
    const std::uint32_t* begin = initial_.get();
    for (Places& places : places_) {
      places.first = begin;
      begin += places.count;
    }
    for_each_place([&](std::uint32_t& end, std::uint32_t at) { initial_[end++] = at; });
  }

  /// Makes all records anew, which frees those of pairs that no longer exist.
  void recount() {
    pairs_.clear();
    places_.clear();
    initial_.reset();
    record_pairs(count_pairs());
    most_bytes_ = std::max(most_bytes_, place_bytes_ + place_bytes_ / 2);
  }

  std::uint32_t take_best() {
    while (true) {
      const std::uint32_t best = pairs_.take_best(lowest_);
      if (best != none || (pairs_.empty() && lowest_ <= 1)) return best;
      lowest_ /= 8;  // pairs without a record may be better
      pairs_.activate_all();
      recount();
    }
  }

  /// Merges a pair in all its places.
  void merge(std::uint32_t best, std::uint32_t symbol) {
    const std::uint32_t left = pairs_.left(best), right = pairs_.right(best);
    before_.assign(symbols_.size(), none);
    after_.assign(symbols_.size(), none);
    fresh_.clear();
    found_.clear();
    const std::uint32_t* const places = places_[best].first;
    const std::uint32_t count = places_[best].count;
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
    if (places_[best].own) place_bytes_ -= sizeof(std::uint32_t) * count;
    places_[best].own.reset();
    places_[best].count = 0;
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
    if (const std::uint32_t pair = pairs_.find(left, right); pair != none && pair != best) pairs_.lose(pair, words);
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
    pairs_.count_new(fresh_.size());
    for (Fresh& fresh : fresh_) {
      fresh.number = fresh.frequency < lowest_ ? none : pairs_.add(fresh.left, fresh.right, fresh.frequency);
      if (fresh.number == none) continue;
      Places& places = places_.emplace_back();
      places.own.reset(new std::uint32_t[fresh.places]);
      places.first = places.own.get();
      place_bytes_ += sizeof(std::uint32_t) * fresh.places;
    }
    for (const auto& [fresh, at] : found_)
      if (const std::uint32_t number = fresh_[fresh].number; number != none) {
        Places& places = places_[number];
        places.own[places.count++] = at;
      }
  }

  MergeText<Slot>& text_;
  SentencePieceSymbols& symbols_;
  std::size_t wanted_, most_bytes_;
  int threads_;
  SentencePiecePairs pairs_;
  std::vector<Places> places_;  // by pair
  std::uint64_t lowest_ = 0;    // frequency of the rarest pair with a record
  std::size_t place_bytes_ = 0;
  std::unordered_set<std::uint64_t> taken_;  // pairs whose text is a piece already
  std::unique_ptr<std::uint32_t[]> initial_;
  std::vector<std::uint32_t> before_, after_;
  std::vector<Fresh> fresh_;
  std::vector<std::pair<std::uint32_t, std::uint32_t>> found_;
  LearnedPieces result_;
};

}  // namespace moderngpt2::detail
