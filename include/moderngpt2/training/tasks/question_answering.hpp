#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "moderngpt2/backend/host.hpp"
#include "moderngpt2/data/tasks/question_examples.hpp"
#include "moderngpt2/distributed/communicator.hpp"
#include "moderngpt2/model/heads.hpp"
#include "moderngpt2/training/evaluation.hpp"
#include "moderngpt2/training/tasks/answer_scores.hpp"
#include "moderngpt2/training/tasks/example_batch.hpp"

namespace moderngpt2 {

/// Batch of context windows, with start and end positions of the answers.
class QuestionBatch : public ExampleBatch<QuestionExamples> {
 public:
  QuestionBatch(const Data& data, std::int64_t most, const Config& config)
      : ExampleBatch(data, most, config), starts_(std::size_t(most)), ends_(std::size_t(most)) {}

  template <class Place>
  void load(const Data& data, std::int64_t rows, Place&& where) {
    load_rows(data, rows, where);
    for (std::int64_t i = 0; i < rows; ++i) {
      const QuestionWindow& window = data.store().windows[std::size_t(place(i))];
      starts_[std::size_t(i)] = window.start, ends_[std::size_t(i)] = window.end;
    }
  }
  std::int64_t valid() const { return divisors(); }
  QuestionAnsweringHead<dynamic>::Labels head_labels(std::int64_t first, std::int64_t, Divisors divisor) const {
    return {starts_.data() + first, ends_.data() + first, divisor};
  }

 private:
  std::vector<int> starts_, ends_;
};

/// Task of Trainer: find the span of a context that answers a question (SQuAD).
struct QuestionAnswering {
  using Store = QuestionExamples;
  using Batch = QuestionBatch;
  using Splits = ExampleSplits<Store>;
  template <class Backend = cpu::Backend, class Precision = Fp32>
  using Model = QuestionAnswerer<any_shape, Backend, Precision>;
  static constexpr const char* name = "question-answering";
  static constexpr const char* examples = "windows";
  static constexpr bool has_labels = false;

  class Scores {
   public:
    Scores(const ExampleRange<Store>& data, const Config&)
        : data_(data), may_be_unanswered_(data.store().has_unanswerable()), found_(4 * std::size_t(data.size())) {
      for (std::int64_t i = 0; i < data.size(); ++i)
        if (i == 0 || window(i).question != window(i - 1).question) first_windows_.push_back(i);
    }

    template <class B, class Saved>
    void add(B& b, const Saved& head, const Batch& batch, std::int64_t first) {
      const HostRows all_starts(b, head.start), all_ends(b, head.end);
      const auto time = std::size_t(batch.time());
      for (std::int64_t i = 0; i < batch.rows(); ++i) {
        const QuestionWindow& at = window(first + i);
        const std::span starts(all_starts.row(int(i)), time), ends(all_ends.row(int(i)), time);
        const Span span = best_span(starts, ends, at.context_begin, at.context_end);
        const float none = float(starts[0]) + float(ends[0]);
        const double found[]{double(span.start), double(span.end), double(span.score), double(none)};
        std::copy_n(found, 4, found_.begin() + 4 * (first + i));
      }
    }
    /// Sums over ranks: each rank added its own examples, and the others are zero.
    void gather(distributed::CommunicatorBase& ranks) {
      ranks.all_reduce(found_.data(), std::int64_t(found_.size()), distributed::ReduceOp::sum, "answers").wait();
    }

    /// Exact match and F1 over questions in percent, as SQuAD's evaluation defines them.
    ScoreList result(double) const {
      double exact = 0, f1 = 0;
      for (std::int64_t i = 0; i < size(); ++i) {
        const std::string text = text_of(answer(i));
        const Question& question = question_of(i);
        double best_exact = question.answers.empty() && answer_words(text).empty(), best_f1 = best_exact;
        for (const std::string& right : question.answers)
          best_exact = std::max(best_exact, exact_match(text, right)),
          best_f1 = std::max(best_f1, answer_f1(text, right));
        exact += best_exact, f1 += best_f1;
      }
      const double n = double(std::max<std::int64_t>(size(), 1));
      return {{"exact_match", 100 * exact / n}, {"f1", 100 * f1 / n}};
    }

    std::int64_t size() const { return std::int64_t(first_windows_.size()); }
    /// {"id": ..., "prediction_text": ..., "answers": [...]} of one question.
    Json prediction(std::int64_t i) const {
      const Question& question = question_of(i);
      Json line{{"id", question.id}, {"prediction_text", text_of(answer(i))}};
      if (data_.store().labelled[window(first_windows_[std::size_t(i)]).question]) line["answers"] = question.answers;
      return line;
    }

   private:
    struct Answer {
      std::int64_t question = 0;
      Span span;  // in tokens of the context
      float no_answer = 0;
    };

    const QuestionWindow& window(std::int64_t i) const { return data_.store().windows[std::size_t(data_.place(i))]; }
    const Question& question_of(std::int64_t i) const {
      return data_.store().questions[std::size_t(window(first_windows_[std::size_t(i)]).question)];
    }
    /// Best answer over the windows of a question.
    Answer answer(std::int64_t i) const {
      const std::int64_t first = first_windows_[std::size_t(i)];
      Answer best{window(first).question, {}, 0};
      for (std::int64_t w = first; w < data_.size() && window(w).question == best.question; ++w) {
        const double* const found = found_.data() + 4 * w;
        const Span span{int(found[0]), int(found[1]), float(found[2])};
        best.no_answer = w == first ? float(found[3]) : std::min(best.no_answer, float(found[3]));
        if (span.start < 0 || (best.span.start >= 0 && span.score <= best.span.score)) continue;
        const int shift = window(w).first_token - window(w).context_begin;
        best.span = {span.start + shift, span.end + shift, span.score};
      }
      return best;
    }
    /// Text of an answer. Empty if the data has unanswerable questions and "no answer" scores higher.
    std::string text_of(const Answer& answer) const {
      if (answer.span.start < 0 || (may_be_unanswered_ && answer.no_answer > answer.span.score)) return "";
      const Question& question = data_.store().questions[std::size_t(answer.question)];
      auto begin = std::size_t(question.offsets[std::size_t(answer.span.start)]);
      auto end = std::size_t(question.offsets[std::size_t(answer.span.end) + 1]);
      while (begin > 0 && detail::is_utf8_continuation(question.context[begin])) --begin;
      while (end < question.context.size() && detail::is_utf8_continuation(question.context[end])) ++end;
      while (begin < end && question.context[begin] == ' ') ++begin;
      return question.context.substr(begin, end - begin);
    }

    const ExampleRange<Store>& data_;
    bool may_be_unanswered_;
    std::vector<std::int64_t> first_windows_;  // index of each question's first window
    std::vector<double> found_;  // (windows, 4): start (-1: none), end and score of the best span, score of no answer
  };
};

}  // namespace moderngpt2
