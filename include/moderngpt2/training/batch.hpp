#pragma once

#include <algorithm>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "moderngpt2/backend/calls.hpp"
#include "moderngpt2/config/config.hpp"
#include "moderngpt2/data/blocks.hpp"
#include "moderngpt2/layers/heads/language_model.hpp"

namespace moderngpt2 {

/// Token id that is never a label: the pad id, unless it equals the eos id, which the model must predict.
inline std::optional<int> unlabelled_id(const Config& c) {
  return c.pad_token_id != c.eos_token_id ? c.pad_token_id : std::nullopt;
}

/// Batch of a language model: ids, labels and attention mask (rows, time each), and the number of labels that are not
/// ignored. Loading allocates nothing. Threads: one at a time.
class TokenBatch {
 public:
  using Data = BlockDataset;
  using Divisors = std::int64_t;
  static constexpr bool labels_are_counted_ahead = false;  ///< load() counts the labels, not the data set

  TokenBatch(const BlockDataset& data, std::int64_t most_rows, const Config& config)
      : TokenBatch(most_rows, data.block_size(), moderngpt2::unlabelled_id(config)) {}
  TokenBatch(std::int64_t most_rows, int time, std::optional<int> unlabelled_id)
      : time_(time),
        unlabelled_id_(unlabelled_id),
        ids_(static_cast<std::size_t>(most_rows * time)),
        labels_(ids_.size()),
        mask_(ids_.size()) {}

  /// Loads `rows` blocks of a data set; place(i): index of the i-th block.
  template <class Place>
  void load(const BlockDataset& data, std::int64_t rows, Place&& place) {
    rows_ = rows;
    valid_ = 0;
    masked_ = false;
    for (std::int64_t row = 0; row < rows; ++row) {
      const std::size_t begin = static_cast<std::size_t>(row * time_), length = static_cast<std::size_t>(time_);
      const std::span<std::int8_t> mask = std::span(mask_).subspan(begin, length);
      data.get(place(row), std::span(ids_).subspan(begin, length), mask);
      for (std::size_t t = 0; t < length; ++t) {
        const int id = ids_[begin + t];
        masked_ |= mask[t] == 0;
        labels_[begin + t] = mask[t] == 0 || id == unlabelled_id_ ? ignored_label : id;
        valid_ += t > 0 && labels_[begin + t] != ignored_label;
      }
    }
  }

  std::int64_t rows() const { return rows_; }
  int time() const { return time_; }
  /// Rows of ids per example.
  int sequences() const { return 1; }
  static int sequences_of(const BlockDataset&) { return 1; }
  /// Whether label smoothing applies: labels are classes, here tokens.
  static bool smooths_labels(const BlockDataset&) { return true; }
  /// Number of tokens, padding included.
  std::int64_t tokens() const { return rows_ * time_; }
  /// Number of labels in the mean loss. The first label of a row is not predicted and does not count.
  std::int64_t valid() const { return valid_; }
  const int* ids(std::int64_t row) const { return ids_.data() + row * time_; }
  const int* labels(std::int64_t row) const { return labels_.data() + row * time_; }
  Divisors divisors() const { return valid_; }
  LanguageModelLabels head_labels(std::int64_t first_row, std::int64_t, Divisors divisor) const {
    return {labels(first_row), divisor};
  }
  /// Attention mask from a row on (rows, time); null if no position of the batch is masked.
  const std::int8_t* mask(std::int64_t row) const { return masked_ ? mask_.data() + row * time_ : nullptr; }

  static constexpr std::int64_t bytes(std::int64_t rows, int time) { return rows * time * (2 * 4 + 1); }

 private:
  int time_;
  std::optional<int> unlabelled_id_;
  std::vector<std::int32_t> ids_;
  std::vector<int> labels_;
  std::vector<std::int8_t> mask_;
  std::int64_t rows_ = 0;
  std::int64_t valid_ = 0;
  bool masked_ = false;
};

}  // namespace moderngpt2
