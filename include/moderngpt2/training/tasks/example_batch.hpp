#pragma once

#include <algorithm>
#include <cstdint>
#include <utility>
#include <vector>

#include "moderngpt2/config/config.hpp"
#include "moderngpt2/data/tasks/examples.hpp"

namespace moderngpt2 {

/// Batch of examples: rows of ids, padded on the right to the longest row of the batch, and the attention mask. Base of
/// the batches of all heads, which add their labels. Loading allocates nothing. Threads: one at a time.
template <class Store>
class ExampleBatch {
 public:
  using Data = ExampleRange<Store>;
  using Divisors = decltype(std::declval<const Store&>().divisors(0, 0));
  static constexpr bool labels_are_counted_ahead = true;

  ExampleBatch(const Data& data, std::int64_t most_examples, const Config& config)
      : pad_(config.pad_token_id.value_or(config.eos_token_id.value_or(0))),
        sequences_(data.sequences()),
        ids_(std::size_t(most_examples * sequences_) * std::size_t(data.block_size())),
        mask_(ids_.size()),
        places_(std::size_t(most_examples)) {}

  /// Sets the minimum row length of the next load() to the longest of these examples. Called with the examples of all
  /// ranks in a step, so that results, dropout included, equal those of a single process.
  template <class Place>
  void pad_to_longest(const Data& data, std::int64_t rows, Place&& place) {
    least_time_ = 1;
    for (std::int64_t i = 0; i < rows; ++i)
      least_time_ = std::max(least_time_, longest_row(data, data.place(place(i))));
  }

  /// Number of examples.
  std::int64_t rows() const { return rows_; }
  /// Rows of ids per example.
  int sequences() const { return sequences_; }
  static int sequences_of(const Data& data) { return data.sequences(); }
  int time() const { return time_; }
  std::int64_t tokens() const { return rows_ * sequences_ * time_; }
  const int* ids(std::int64_t example) const { return ids_.data() + example * sequences_ * time_; }
  /// Attention mask from an example on (rows, time); null if no row is padded.
  const std::int8_t* mask(std::int64_t example) const {
    return masked_ ? mask_.data() + example * sequences_ * time_ : nullptr;
  }
  /// Number of labels in the batch: divisor of the summed losses.
  const Divisors& divisors() const { return divisors_; }

 protected:
  /// Loads and pads the rows of `rows` examples; place(i): index of the i-th example.
  template <class Place>
  void load_rows(const Data& data, std::int64_t rows, Place&& place) {
    const Store& store = data.store();
    rows_ = rows, time_ = std::exchange(least_time_, 1), masked_ = false, divisors_ = {};
    for (std::int64_t i = 0; i < rows; ++i) {
      const std::int64_t at = places_[std::size_t(i)] = data.place(place(i));
      divisors_ += store.divisors(at, at + 1);
      time_ = std::max(time_, longest_row(data, at));
    }
    for (std::int64_t i = 0; i < rows * sequences_; ++i) {
      const auto row = store.rows[places_[std::size_t(i / sequences_)] * sequences_ + i % sequences_];
      const std::size_t begin = std::size_t(i) * std::size_t(time_), end = begin + std::size_t(time_);
      const std::size_t padding = begin + row.size();
      std::copy(row.begin(), row.end(), ids_.begin() + std::ptrdiff_t(begin));
      std::fill(ids_.begin() + std::ptrdiff_t(padding), ids_.begin() + std::ptrdiff_t(end), pad_);
      std::fill(mask_.begin() + std::ptrdiff_t(begin), mask_.begin() + std::ptrdiff_t(padding), std::int8_t{1});
      std::fill(mask_.begin() + std::ptrdiff_t(padding), mask_.begin() + std::ptrdiff_t(end), std::int8_t{0});
      masked_ |= padding < end;
    }
  }
  /// Index in the store of the i-th example.
  std::int64_t place(std::int64_t i) const { return places_[std::size_t(i)]; }

 private:
  /// Number of tokens in the longest row of the example at `place` in the store.
  int longest_row(const Data& data, std::int64_t place) const {
    int longest = 1;
    for (int k = 0; k < sequences_; ++k)
      longest = std::max(longest, int(data.store().rows[place * sequences_ + k].size()));
    return longest;
  }

  int pad_, sequences_;
  std::vector<int> ids_;
  std::vector<std::int8_t> mask_;
  std::vector<std::int64_t> places_;
  std::int64_t rows_ = 0;
  int time_ = 1, least_time_ = 1;
  bool masked_ = false;
  Divisors divisors_{};
};

}  // namespace moderngpt2
