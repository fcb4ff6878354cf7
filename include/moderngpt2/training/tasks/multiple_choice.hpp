#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "moderngpt2/backend/calls.hpp"
#include "moderngpt2/backend/host.hpp"
#include "moderngpt2/data/tasks/choice_examples.hpp"
#include "moderngpt2/distributed/communicator.hpp"
#include "moderngpt2/model/heads.hpp"
#include "moderngpt2/training/tasks/classification_scores.hpp"
#include "moderngpt2/training/tasks/example_batch.hpp"

namespace moderngpt2 {

/// Batch of multiple-choice questions, with one row per choice. The language-model loss covers correct choices only.
class ChoiceBatch : public ExampleBatch<ChoiceExamples> {
 public:
  ChoiceBatch(const Data& data, std::int64_t most, const Config& config)
      : ExampleBatch(data, most, config),
        answers_(std::size_t(most)),
        last_(std::size_t(most * sequences())),
        labels_(last_.size() * std::size_t(data.block_size())) {}

  template <class Place>
  void load(const Data& data, std::int64_t rows, Place&& where) {
    load_rows(data, rows, where);
    std::fill(labels_.begin(), labels_.end(), ignored_label);
    const ChoiceExamples& store = data.store();
    for (std::int64_t i = 0; i < rows; ++i) {
      answers_[std::size_t(i)] = store.answers[std::size_t(place(i))];
      for (int k = 0; k < sequences(); ++k) {
        const std::int64_t row = i * sequences() + k;
        const auto ids = store.rows[place(i) * sequences() + k];
        last_[std::size_t(row)] = int(ids.size()) - 1;
        if (k == answers_[std::size_t(i)]) std::copy(ids.begin(), ids.end(), labels_.begin() + row * time());
      }
    }
  }
  std::int64_t valid() const { return divisors().questions; }
  /// Whether label smoothing applies: both losses have classes, tokens and choices.
  static bool smooths_labels(const Data&) { return true; }
  DoubleHeads<dynamic>::Labels head_labels(std::int64_t first, std::int64_t, const Divisors& divisors) const {
    const std::int64_t row = first * sequences();
    return {{labels_.data() + row * time(), divisors.language},
            sequences(),
            last_.data() + row,
            answers_.data() + first,
            divisors.questions};
  }

 private:
  std::vector<int> answers_, last_, labels_;
};

/// Task of Trainer: select the correct choice of a question. Each choice is scored at its last token.
struct MultipleChoice {
  using Store = ChoiceExamples;
  using Batch = ChoiceBatch;
  using Splits = ExampleSplits<Store>;
  template <class Backend = cpu::Backend, class Precision = Fp32>
  using Model = DoubleHeadsModel<any_shape, Backend, Precision>;
  static constexpr const char* name = "multiple-choice";
  static constexpr const char* examples = "questions";
  static constexpr bool has_labels = false;

  class Scores {
   public:
    Scores(const ExampleRange<Store>& data, const Config&) : data_(data), chosen_(std::size_t(data.size())) {}

    template <class B, class Saved>
    void add(B& b, const Saved& head, const Batch& batch, std::int64_t first) {
      const HostRows logits(b, head.mc_logits);
      for (std::int64_t i = 0; i < batch.rows(); ++i) {
        const auto* scores = logits.data() + i * batch.sequences();
        chosen_[std::size_t(first + i)] = std::max_element(scores, scores + batch.sequences()) - scores;
      }
    }
    /// Sums over ranks: each rank added its own examples, and the others are zero.
    void gather(distributed::CommunicatorBase& ranks) {
      ranks.all_reduce(chosen_.data(), size(), distributed::ReduceOp::sum, "choices").wait();
    }

    ScoreList result(double) const {
      std::int64_t right = 0;
      for (std::int64_t i = 0; i < size(); ++i) right += chosen_[std::size_t(i)] == actual(i);
      return {{"accuracy", ClassCount::ratio(double(right), double(size()))}};
    }

    std::int64_t size() const { return std::int64_t(chosen_.size()); }
    /// {"prediction": index of a choice, "label": ...} of one question.
    Json prediction(std::int64_t i) const {
      Json line{{"prediction", chosen_[std::size_t(i)]}};
      if (data_.store().labelled[data_.place(i)]) line["label"] = actual(i);
      return line;
    }

   private:
    int actual(std::int64_t i) const { return data_.store().answers[std::size_t(data_.place(i))]; }

    const ExampleRange<Store>& data_;
    std::vector<std::int64_t> chosen_;
  };
};

}  // namespace moderngpt2
