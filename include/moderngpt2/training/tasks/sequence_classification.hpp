#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "moderngpt2/backend/host.hpp"
#include "moderngpt2/data/tasks/sequence_examples.hpp"
#include "moderngpt2/distributed/communicator.hpp"
#include "moderngpt2/model/heads.hpp"
#include "moderngpt2/training/tasks/classification_scores.hpp"
#include "moderngpt2/training/tasks/example_batch.hpp"

namespace moderngpt2 {

/// Batch of texts with their labels.
class SequenceBatch : public ExampleBatch<SequenceExamples> {
 public:
  SequenceBatch(const Data& data, std::int64_t most, const Config& config)
      : ExampleBatch(data, most, config), width_(data.size() > 0 ? data.store().values_each : 0) {
    width_ > 0 ? values_.resize(std::size_t(most * width_)) : classes_.resize(std::size_t(most));
  }

  template <class Place>
  void load(const Data& data, std::int64_t rows, Place&& where) {
    load_rows(data, rows, where);
    const SequenceExamples& store = data.store();
    for (std::int64_t i = 0; i < rows; ++i) {
      if (width_ > 0)
        std::copy_n(store.values.begin() + place(i) * width_, width_, values_.begin() + i * width_);
      else
        classes_[std::size_t(i)] = store.classes[std::size_t(place(i))];
    }
  }
  std::int64_t valid() const { return divisors(); }
  /// Whether label smoothing applies: labels are classes, not numbers.
  static bool smooths_labels(const Data& data) { return data.store().values_each == 0; }
  SequenceClassificationHead<dynamic>::Labels head_labels(std::int64_t first, std::int64_t, Divisors divisor) const {
    if (width_ > 0) return {nullptr, values_.data() + first * width_, divisor};
    return {classes_.data() + first, nullptr, divisor};
  }

 private:
  int width_;
  std::vector<int> classes_;
  std::vector<float> values_;
};

/// Task of Trainer: predict a class, several classes, or numbers for a text.
struct SequenceClassification {
  using Store = SequenceExamples;
  using Batch = SequenceBatch;
  using Splits = ExampleSplits<Store>;
  template <class Backend = cpu::Backend, class Precision = Fp32>
  using Model = SequenceClassifier<any_shape, Backend, Precision>;
  static constexpr const char* name = "sequence-classification";
  static constexpr const char* examples = "texts";
  static constexpr bool has_labels = true;

  class Scores {
   public:
    Scores(const ExampleRange<Store>& data, const Config& config)
        : data_(data),
          num_labels_(config.num_labels),
          multi_label_(config.problem_type == ProblemType::multi_label),
          logits_(std::size_t(data.size()) * width()) {}

    template <class B, class Saved>
    void add(B& b, const Saved& head, const Batch& batch, std::int64_t first) {
      const HostRows logits(b, head.logits);
      float* const to = logits_.data() + first * num_labels_;
      for (std::int64_t i = 0; i < batch.rows() * num_labels_; ++i) to[i] = float(logits.data()[i]);
    }
    /// Sums over ranks: each rank added its own examples, and the others are zero.
    void gather(distributed::CommunicatorBase& ranks) {
      ranks.all_reduce(logits_.data(), std::int64_t(logits_.size()), distributed::ReduceOp::sum, "logits").wait();
    }

    ScoreList result(double) const {
      const Store& store = data_.store();
      const auto begin = std::size_t(data_.place(0)), count = std::size_t(data_.size());
      if (store.values_each == 0)
        return single_label_scores(chosen(), std::span(store.classes).subspan(begin, count), num_labels_);
      const auto values = std::span(store.values).subspan(begin * width(), count * width());
      if (!multi_label_)
        return regression_scores(std::vector<double>(logits_.begin(), logits_.end()),
                                 std::vector<double>(values.begin(), values.end()), num_labels_);
      std::vector<std::uint8_t> predicted, actual;
      for (std::size_t i = 0; i < values.size(); ++i)
        predicted.push_back(logits_[i] > 0), actual.push_back(values[i] > 0.5f);
      return multi_label_scores(predicted, actual, num_labels_);
    }

    std::int64_t size() const { return data_.size(); }
    /// {"prediction": ..., "label": ..., "scores": [probabilities]} of one text; regression has no scores, and a row
    /// without a label no label.
    Json prediction(std::int64_t i) const {
      const Store& store = data_.store();
      const std::vector<std::string>& names = store.names;
      const auto place = std::size_t(data_.place(i));
      const float* logits = logits_.data() + std::size_t(i) * width();
      Json line = Json::object();
      if (store.values_each == 0) {
        const auto top = std::size_t(std::max_element(logits, logits + width()) - logits);
        line["prediction"] = names[top];
        if (store.labelled[data_.place(i)]) line["label"] = names[std::size_t(store.classes[place])];
        double sum = 0;
        for (std::size_t k = 0; k < width(); ++k) sum += std::exp(double(logits[k]) - double(logits[top]));
        for (std::size_t k = 0; k < width(); ++k)
          line["scores"].push_back(std::exp(double(logits[k]) - double(logits[top])) / sum);
        return line;
      }
      Json predicted = Json::array(), actual = Json::array(), scores = Json::array();
      for (std::size_t k = 0; k < width(); ++k) {
        const float value = store.values[place * width() + k];
        if (multi_label_) {
          if (logits[k] > 0) predicted.push_back(names[k]);
          if (value > 0.5f) actual.push_back(names[k]);
          scores.push_back(1 / (1 + std::exp(-double(logits[k]))));
        } else {
          predicted.push_back(logits[k]), actual.push_back(value);
        }
      }
      const bool single = !multi_label_ && width() == 1;
      line["prediction"] = single ? predicted[0] : predicted;
      if (store.labelled[data_.place(i)]) line["label"] = single ? actual[0] : actual;
      if (multi_label_) line["scores"] = scores;
      return line;
    }

   private:
    std::size_t width() const { return std::size_t(num_labels_); }
    std::vector<int> chosen() const {
      std::vector<int> classes;
      for (auto at = logits_.begin(); at != logits_.end(); at += num_labels_)
        classes.push_back(int(std::max_element(at, at + num_labels_) - at));
      return classes;
    }

    const ExampleRange<Store>& data_;
    int num_labels_;
    bool multi_label_;
    std::vector<float> logits_;  // (texts, num_labels)
  };
};

}  // namespace moderngpt2
