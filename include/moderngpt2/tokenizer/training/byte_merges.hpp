#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <queue>
#include <string>
#include <tuple>
#include <unordered_map>
#include <unordered_set>
#include <utility>
#include <vector>

#include "moderngpt2/tokenizer/training/merge_text.hpp"

namespace moderngpt2::detail {

/// Vocabulary of a byte-level BPE model in training. Texts of tokens are bytes.
struct ByteVocabulary {
  using Merge = std::pair<std::uint32_t, std::uint32_t>;

  std::vector<std::string> tokens;  ///< by id
  std::unordered_map<std::string, std::uint32_t> ids;
  std::vector<Merge> merges;  ///< in order

  std::uint32_t id(const std::string& token) {
    const auto [found, fresh] = ids.emplace(token, static_cast<std::uint32_t>(tokens.size()));
    if (fresh) tokens.push_back(token);
    return found->second;
  }
};

/// Learns the merges of a byte-level BPE model as BpeTrainer of Hugging Face's `tokenizers` 0.23 does:
///
/// - The pair with the highest count is next; of equal counts, the one with the lower ids. Counts are those of all
///   adjacent pairs, so that "aaa" has "aa" twice.
/// - A pair whose text is a token already becomes this token too. Pairs with that token then have several entries in
///   the queue, one for each merge that made them; each has its own words, merges them when it is next, and lists the
///   merge again. A pair's rank is that of its last merge.
///
/// Counts have 64 bits; `tokenizers` has 32 and overflows with more than 2^31 occurrences of a pair.
template <class Slot>
class ByteMerges {
 public:
  ByteMerges(MergeText<Slot>& text, ByteVocabulary& vocabulary) : text_(text), vocabulary_(vocabulary) {}

  /// Learns until the vocabulary has `wanted` tokens or no pair is left. `progress(tokens)` is called after each merge.
  void learn(std::size_t wanted, const std::function<void(std::size_t)>& progress) {
    count_pairs();
    std::vector<ByteVocabulary::Merge> merges;
    while (vocabulary_.tokens.size() < wanted && !queue_.empty()) {
      Candidate top = queue_.top();
      queue_.pop();
      const Pair pair = pairs_[entries_[top.entry].pair];
      if (top.count != pair.count) {
        if (pair.count > 0) queue_.push({pair.count, top.entry});
        continue;
      }
      const std::uint32_t token = vocabulary_.id(vocabulary_.tokens[pair.left] + vocabulary_.tokens[pair.right]);
      merges.emplace_back(pair.left, pair.right);
      merge(top.entry, token);
      progress(vocabulary_.tokens.size());
    }
    std::unordered_set<std::uint64_t> known;
    for (auto at = merges.rbegin(); at != merges.rend(); ++at)
      if (known.insert(pair_key(at->first, at->second)).second) vocabulary_.merges.push_back(*at);
    std::reverse(vocabulary_.merges.begin(), vocabulary_.merges.end());
  }

 private:
  static constexpr std::uint32_t none = ~std::uint32_t{0};

  struct Pair {
    std::uint32_t left, right;
    std::uint64_t count;
    bool has_entry, has_several;
  };
  struct Entry {
    std::uint32_t pair, places;
    const std::uint32_t* first;
    std::unique_ptr<std::uint32_t[]> own;
  };
  struct Candidate {
    std::uint64_t count;
    std::uint32_t entry;
  };
  /// Whether candidate `a` comes after `b`.
  struct After {
    const ByteMerges* merges;
    bool operator()(const Candidate& a, const Candidate& b) const {
      if (a.count != b.count) return a.count < b.count;
      const Pair& x = merges->pairs_[merges->entries_[a.entry].pair];
      const Pair& y = merges->pairs_[merges->entries_[b.entry].pair];
      return std::tie(x.left, x.right, a.entry) > std::tie(y.left, y.right, b.entry);
    }
  };

  std::uint32_t pair_number(std::uint32_t left, std::uint32_t right) {
    std::uint32_t& number = numbers_[pair_key(left, right)];  // one more than the number; 0: new
    if (number == 0) {
      pairs_.push_back({left, right, 0, false, false});
      number = static_cast<std::uint32_t>(pairs_.size());
    }
    return number - 1;
  }

  void add_entry(std::uint32_t number, const std::uint32_t* first, std::uint32_t places,
                 std::unique_ptr<std::uint32_t[]> own) {
    Pair& pair = pairs_[number];
    pair.has_several = pair.has_entry;
    pair.has_entry = true;
    entries_.push_back({number, places, first, std::move(own)});
    queue_.push({pair.count, static_cast<std::uint32_t>(entries_.size() - 1)});
  }

  void count_pairs() {
    std::vector<std::uint32_t> places;
    text_.for_each_pair(0, text_.size(),
                        [&](std::uint32_t left, std::uint32_t right, std::uint32_t, std::uint64_t count) {
                          const std::uint32_t number = pair_number(left, right);
                          if (number == places.size()) places.push_back(0);
                          pairs_[number].count += count;
                          ++places[number];
                        });
    std::size_t total = 0;
    for (const std::uint32_t number : places) total += number;
    initial_.reset(new std::uint32_t[total]);
    std::uint32_t* begin = initial_.get();
    std::vector<std::uint32_t*> ends;
    for (std::uint32_t number = 0; number < places.size(); ++number) {
      add_entry(number, begin, places[number], nullptr);
      ends.push_back(begin);
      begin += places[number];
    }
    text_.for_each_pair(0, text_.size(), [&](std::uint32_t left, std::uint32_t right, std::uint32_t at, std::uint64_t) {
      *ends[pair_number(left, right)]++ = at;
    });
  }

  void merge(std::uint32_t number, std::uint32_t token) {
    const Pair pair = pairs_[entries_[number].pair];
    before_.resize(vocabulary_.tokens.size(), none);
    after_.resize(vocabulary_.tokens.size(), none);
    fresh_.clear();
    found_.clear();
    const std::uint32_t* const places = entries_[number].first;
    const std::uint32_t count = entries_[number].places;
    std::uint32_t last_word = none;
    for (std::uint32_t i = 0; i < count; ++i) {
      if (i + 16 < count) text_.prefetch(places[i + 16]);
      if (!pair.has_several) {
        merge_at(places[i], pair.left, pair.right, token);
        continue;
      }
      // An entry merges its words, including places that another entry has.
      std::uint32_t at = places[i];
      while (text_.is_inside(at - 1)) --at;
      if (std::exchange(last_word, at) == at) continue;
      for (; text_[at] != text_.boundary; at = text_.next(at)) merge_at(at, pair.left, pair.right, token);
    }
    entries_[number].own.reset();
    for (const Fresh& fresh : fresh_) {
      before_[fresh.neighbor] = none;
      after_[fresh.neighbor] = none;
    }
    keep_fresh();
  }
  /// Pair that a merge makes or makes more frequent.
  struct Fresh {
    std::uint32_t pair, neighbor, places;
    std::unique_ptr<std::uint32_t[]> own;
  };

  void merge_at(std::uint32_t at, std::uint32_t left, std::uint32_t right, std::uint32_t token) {
    if (text_[at] != left) return;
    const std::uint32_t other = text_.next(at);
    if (text_[other] != right) return;
    const std::uint64_t words = text_.count(at);
    const std::uint32_t previous = text_.previous(at), next = text_.next(other);
    text_.merge(at, other, token);
    if (text_[previous] != text_.boundary) {
      pairs_[pair_number(text_[previous], left)].count -= words;
      gain(before_[text_[previous]], text_[previous], token, text_[previous], previous, words);
    }
    if (text_[next] != text_.boundary) {
      pairs_[pair_number(right, text_[next])].count -= words;
      // The pair of two tokens has one entry, whichever of them is new.
      gain(text_[next] == token ? before_[token] : after_[text_[next]], token, text_[next], text_[next], at, words);
    }
  }
  void gain(std::uint32_t& fresh, std::uint32_t left, std::uint32_t right, std::uint32_t neighbor, std::uint32_t at,
            std::uint64_t words) {
    if (fresh == none) {
      fresh = static_cast<std::uint32_t>(fresh_.size());
      fresh_.push_back({pair_number(left, right), neighbor, 0, nullptr});
    }
    pairs_[fresh_[fresh].pair].count += words;
    ++fresh_[fresh].places;
    found_.push_back({fresh, at});
  }

  void keep_fresh() {
    for (Fresh& fresh : fresh_)
      if (pairs_[fresh.pair].count > 0) {
        fresh.own.reset(new std::uint32_t[fresh.places]);
        fresh.places = 0;
      }
    for (const auto& [fresh, at] : found_)
      if (fresh_[fresh].own) fresh_[fresh].own[fresh_[fresh].places++] = at;
    for (Fresh& fresh : fresh_)
      if (fresh.own) {
        const std::uint32_t* const first = fresh.own.get();
        add_entry(fresh.pair, first, fresh.places, std::move(fresh.own));
      }
  }

  MergeText<Slot>& text_;
  ByteVocabulary& vocabulary_;
  std::vector<Pair> pairs_;
  FlatMap<std::uint32_t> numbers_;
  std::vector<Entry> entries_;
  std::unique_ptr<std::uint32_t[]> initial_;
  std::priority_queue<Candidate, std::vector<Candidate>, After> queue_{After{this}};
  std::vector<std::uint32_t> before_, after_;  // by symbol: place in fresh_
  std::vector<Fresh> fresh_;
  std::vector<std::pair<std::uint32_t, std::uint32_t>> found_;
};

}  // namespace moderngpt2::detail
