#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string_view>
#include <vector>

#include "moderngpt2/backend/calls.hpp"
#include "moderngpt2/backend/host.hpp"
#include "moderngpt2/data/tasks/token_examples.hpp"
#include "moderngpt2/distributed/communicator.hpp"
#include "moderngpt2/model/heads.hpp"
#include "moderngpt2/training/tasks/entity_scores.hpp"
#include "moderngpt2/training/tasks/example_batch.hpp"

namespace moderngpt2 {

/// Batch of texts with a label per token; padding is ignored.
class TokenLabelBatch : public ExampleBatch<TokenExamples> {
 public:
  TokenLabelBatch(const Data& data, std::int64_t most, const Config& config)
      : ExampleBatch(data, most, config), labels_(std::size_t(most) * std::size_t(data.block_size())) {}

  template <class Place>
  void load(const Data& data, std::int64_t rows, Place&& where) {
    load_rows(data, rows, where);
    std::fill(labels_.begin(), labels_.end(), ignored_label);
    for (std::int64_t i = 0; i < rows; ++i) {
      const auto labels = data.store().labels[place(i)];
      std::copy(labels.begin(), labels.end(), labels_.begin() + i * time());
    }
  }
  std::int64_t valid() const { return divisors(); }
  /// Whether label smoothing applies: labels are classes.
  static bool smooths_labels(const Data&) { return true; }
  TokenClassificationHead<dynamic>::Labels head_labels(std::int64_t first, std::int64_t, Divisors divisor) const {
    return {labels_.data() + first * time(), divisor};
  }

 private:
  std::vector<int> labels_;
};

/// Task of Trainer: predict a class for every word of a text (such as named entities).
struct TokenClassification {
  using Store = TokenExamples;
  using Batch = TokenLabelBatch;
  using Splits = ExampleSplits<Store>;
  template <class Backend = cpu::Backend, class Precision = Fp32>
  using Model = TokenClassifier<any_shape, Backend, Precision>;
  static constexpr const char* name = "token-classification";
  static constexpr const char* examples = "texts";
  static constexpr bool has_labels = true;

  class Scores {
   public:
    Scores(const ExampleRange<Store>& data, const Config& config) : data_(data), num_labels_(config.num_labels) {
      for (std::int64_t i = 0; i < data.size(); ++i) begins_.push_back(begins_.back() + std::int64_t(actual(i).size()));
      predicted_.resize(std::size_t(begins_.back()));
    }

    template <class B, class Saved>
    void add(B& b, const Saved& head, const Batch& batch, std::int64_t first) {
      const HostRows scores(b, head.logits);
      for (std::int64_t i = 0; i < batch.rows(); ++i) {
        const auto labels = data_.store().labels[data_.place(first + i)];
        std::int64_t* word = predicted_.data() + begins_[std::size_t(first + i)];
        for (std::size_t t = 0; t < labels.size(); ++t) {
          if (labels[t] == ignored_label) continue;
          const auto* logits = scores.row(int(i * batch.time()) + int(t));
          *word++ = std::max_element(logits, logits + num_labels_) - logits;
        }
      }
    }
    /// Sums over ranks: each rank added its own examples, and the others are zero.
    void gather(distributed::CommunicatorBase& ranks) {
      ranks.all_reduce(predicted_.data(), begins_.back(), distributed::ReduceOp::sum, "tags of words").wait();
    }

    ScoreList result(double) const {
      EntityCount count;
      for (std::int64_t i = 0; i < size(); ++i) count.add(tags(predicted(i)), tags(actual(i)));
      return count.scores();
    }

    std::int64_t size() const { return data_.size(); }
    /// {"predictions": [tags of the words], "labels": [...]} of one text, without truncated words.
    Json prediction(std::int64_t i) const {
      Json line{{"predictions", tags(predicted(i))}};
      if (data_.store().labelled[data_.place(i)]) line["labels"] = tags(actual(i));
      return line;
    }

   private:
    using Classes = std::vector<std::int64_t>;

    Classes predicted(std::int64_t i) const {
      return {predicted_.begin() + begins_[std::size_t(i)], predicted_.begin() + begins_[std::size_t(i) + 1]};
    }
    Classes actual(std::int64_t i) const {
      Classes words;
      for (const int label : data_.store().labels[data_.place(i)])
        if (label != ignored_label) words.push_back(label);
      return words;
    }
    std::vector<std::string_view> tags(const Classes& classes) const {
      std::vector<std::string_view> tags;
      for (const std::int64_t c : classes) tags.push_back(data_.store().names[std::size_t(c)]);
      return tags;
    }

    const ExampleRange<Store>& data_;
    int num_labels_;
    std::vector<std::int64_t> begins_{0};  // index of each text's first word
    Classes predicted_;
  };
};

}  // namespace moderngpt2
