#pragma once

#include <algorithm>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "moderngpt2/config/config.hpp"
#include "moderngpt2/core/error.hpp"
#include "moderngpt2/core/separate_compilation.hpp"
#include "moderngpt2/data/row_reader.hpp"
#include "moderngpt2/tokenizer/tokenizer.hpp"

namespace moderngpt2 {

/// Options for converting rows to examples.
struct ExampleOptions {
  std::string text_column{};                  ///< empty: common names; two columns separated by a comma for pairs
  std::string label_column{};                 ///< empty: common names
  std::string word_separator = " ";           ///< token classification: text between two words
  int block_size = 1024;                      ///< maximum tokens of an example; longer text is truncated
  int doc_stride = 128;                       ///< question answering: overlap of two windows in tokens
  std::optional<ProblemType> problem_type{};  ///< sequence classification; nullopt: derived from the labels
  OpenParquetRows open_parquet = nullptr;
  /// Whether a row may have no label: no such column, null, or -1, as in GLUE's test sets.
  bool labels_are_optional = false;
};

/// Presence of labels, by example. Threads: several may read at once.
class LabelledExamples {
 public:
  void add(bool has_label) {
    has_label_.push_back(has_label);
    missing_ += !has_label;
  }
  void remove_all() {
    missing_ = std::int64_t(has_label_.size());
    std::fill(has_label_.begin(), has_label_.end(), char{0});
  }
  bool operator[](std::int64_t example) const { return has_label_[std::size_t(example)] != 0; }
  /// Number of examples without a label. They have the label 0.
  std::int64_t missing() const { return missing_; }

 private:
  std::vector<char> has_label_;
  std::int64_t missing_ = 0;
};

/// Returns the first of `names` that is a column of the row with a label; nullptr for a row without a label, if the
/// options allow that. Throws Error as require_column() does.
const Json* find_label(const DataRow& row, const std::vector<std::string>& names, std::string_view what,
                       const ExampleOptions& options);

/// Rows of different length in one array. Threads: several may read at once.
class RaggedRows {
 public:
  void add(std::span<const int> row) {
    values_.insert(values_.end(), row.begin(), row.end());
    starts_.push_back(std::int64_t(values_.size()));
    longest_ = std::max(longest_, int(row.size()));
  }
  std::int64_t size() const { return std::int64_t(starts_.size()) - 1; }
  int longest() const { return longest_; }
  std::span<const int> operator[](std::int64_t i) const {
    const auto begin = std::size_t(starts_[std::size_t(i)]), end = std::size_t(starts_[std::size_t(i) + 1]);
    return std::span(values_).subspan(begin, end - begin);
  }
  std::span<int> row(std::int64_t i) {
    return std::span(values_).subspan(std::size_t(starts_[std::size_t(i)]), (*this)[i].size());
  }

 private:
  std::vector<int> values_;
  std::vector<std::int64_t> starts_{0};
  int longest_ = 0;
};

/// Range [begin, end) of the examples of a store: a training or validation set. Copies share the store, which has
/// `rows` of ids, `sequences()` rows per example, and `divisors(begin, end)`, the number of labels. Threads: several
/// may read at once.
template <class Store>
class ExampleRange {
 public:
  ExampleRange() = default;
  ExampleRange(std::shared_ptr<const Store> store, std::int64_t begin, std::int64_t end)
      : store_(std::move(store)), begin_(begin), end_(end) {}

  std::int64_t size() const { return end_ - begin_; }
  /// Length of the longest row in tokens.
  int block_size() const { return store_ ? store_->rows.longest() : 0; }
  int sequences() const { return store_ ? store_->sequences() : 1; }
  const Store& store() const { return *store_; }
  /// Index of an example in the store.
  std::int64_t place(std::int64_t i) const { return begin_ + i; }
  auto divisors() const { return store_->divisors(begin_, end_); }

 private:
  std::shared_ptr<const Store> store_;
  std::int64_t begin_ = 0, end_ = 0;
};

/// Training set and validation set of a task.
template <class Store>
struct ExampleSplits {
  ExampleRange<Store> train, eval;
};

/// Encodes texts and counts truncated ones. Threads: one at a time.
class TextEncoder {
 public:
  TextEncoder(Tokenizer tokenizer, int block_size) : tokenizer_(std::move(tokenizer)), block_size_(block_size) {
    const int added = int(tokenizer_.prefix_ids().size() + tokenizer_.suffix_ids().size());
    if (block_size_ <= added)
      throw Error("a block size of {} tokens leaves no room for text beside the tokenizer's special tokens",
                  block_size_);
  }

  const Tokenizer& tokenizer() const { return tokenizer_; }
  int block_size() const { return block_size_; }
  /// Number of truncated texts so far.
  std::int64_t cut() const { return cut_; }
  void count_cut() { ++cut_; }

  /// Encodes one text or two, concatenated, like Hugging Face's tokenizer(first, second, truncation=True): tokens are
  /// truncated at the end, from the longer text first. Valid until the next call. Empty text gives one eos or pad.
  std::span<const int> encode(const std::string& first, const std::string* second = nullptr) {
    first_.clear(), second_.clear();
    tokenizer_.encode(first, first_);
    if (second) tokenizer_.encode(*second, second_);
    const auto& prefix = tokenizer_.prefix_ids();
    const auto& suffix = tokenizer_.suffix_ids();
    const std::size_t room = std::size_t(block_size_) - prefix.size() - suffix.size();
    if (first_.size() + second_.size() > room) {
      ++cut_;
      auto& shorter = first_.size() > second_.size() ? second_ : first_;
      auto& longer = first_.size() > second_.size() ? first_ : second_;
      const std::size_t kept = std::min(shorter.size(), room / 2);
      shorter.resize(kept), longer.resize(room - kept);
    }
    ids_.assign(prefix.begin(), prefix.end());
    ids_.insert(ids_.end(), first_.begin(), first_.end());
    ids_.insert(ids_.end(), second_.begin(), second_.end());
    ids_.insert(ids_.end(), suffix.begin(), suffix.end());
    if (ids_.empty()) ids_.push_back(tokenizer_.eos_id().value_or(tokenizer_.pad_id().value_or(0)));
    return ids_;
  }

 private:
  Tokenizer tokenizer_;
  int block_size_;
  std::int64_t cut_ = 0;
  std::vector<int> first_, second_, ids_;
};

/// Splits "a,b" into names.
std::vector<std::string> split_names(const std::string& names);

/// Returns the given column name, or the common ones.
std::vector<std::string> column_or(const std::string& given, std::vector<std::string> usual);

}  // namespace moderngpt2

#ifndef MODERNGPT2_DECLARE_RUNS

namespace moderngpt2 {

MODERNGPT2_INLINE const Json* find_label(const DataRow& row, const std::vector<std::string>& names,
                                         std::string_view what, const ExampleOptions& options) {
  if (!options.labels_are_optional) return &require_column(row, names, what, "label_column");
  const Json* label = first_column(row.fields, names);
  const bool is_number = options.problem_type == ProblemType::regression;  // -1 can be a label: see finish()
  const bool is_missing = !label || label->is_null() || (!is_number && label->is_number() && *label == -1);
  return is_missing ? nullptr : label;
}

MODERNGPT2_INLINE std::vector<std::string> split_names(const std::string& names) {
  std::vector<std::string> parts;
  for (std::size_t begin = 0; begin <= names.size();) {
    const std::size_t comma = std::min(names.find(',', begin), names.size());
    if (comma > begin) parts.push_back(names.substr(begin, comma - begin));
    begin = comma + 1;
  }
  return parts;
}

MODERNGPT2_INLINE std::vector<std::string> column_or(const std::string& given, std::vector<std::string> usual) {
  if (given.empty()) return usual;
  return {given};
}

}  // namespace moderngpt2

#endif
