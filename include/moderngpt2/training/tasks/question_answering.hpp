#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "moderngpt2/data/tasks/question_examples.hpp"
#include "moderngpt2/model/heads.hpp"
#include "moderngpt2/training/evaluation.hpp"
#include "moderngpt2/training/tasks/answer_scores.hpp"
#include "moderngpt2/training/tasks/example_batch.hpp"

namespace moderngpt2 {

/// Windows and where in them the answers are.
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

/// Where in a text the answer to a question is.
struct QuestionAnswering {
  using Store = QuestionExamples;
  using Batch = QuestionBatch;
  using Splits = ExampleSplits<Store>;
  template <class Backend = cpu::Backend, class Precision = Fp32>
  using Model = QuestionAnswerer<any_shape, Backend, Precision>;
  static constexpr const char* name = "question-answering";
  static constexpr const char* examples = "windows";
  static constexpr bool predicts_tokens = false;
  static constexpr bool has_labels = false;

  class Scores {
   public:
    Scores(const ExampleRange<Store>& data, const Config&)
        : data_(data), may_be_unanswered_(data.store().has_unanswerable()) {}

    template <class Saved>
    void add(const Saved& head, const Batch& batch, std::int64_t first) {
      const auto time = std::size_t(batch.time());
      for (std::int64_t i = 0; i < batch.rows(); ++i) {
        const QuestionWindow& window = data_.store().windows[std::size_t(data_.place(first + i))];
        const std::span starts(head.start.row(int(i)), time), ends(head.end.row(int(i)), time);
        if (answers_.empty() || answers_.back().question != window.question)
          answers_.push_back({window.question, {}, 0});
        Answer& answer = answers_.back();
        const float none = float(starts[0]) + float(ends[0]);
        answer.no_answer = window.first_token == 0 ? none : std::min(answer.no_answer, none);
        const Span span = best_span(starts, ends, window.context_begin, window.context_end);
        if (span.start < 0 || (answer.span.start >= 0 && span.score <= answer.span.score)) continue;
        const int shift = window.first_token - window.context_begin;
        answer.span = {span.start + shift, span.end + shift, span.score};
      }
    }

    /// Exact match and F1 over questions, in percent as SQuAD's evaluation has them.
    ScoreList result(double) const {
      double exact = 0, f1 = 0;
      for (const Answer& answer : answers_) {
        const std::string text = text_of(answer);
        const Question& question = question_of(answer);
        double best_exact = question.answers.empty() && answer_words(text).empty(), best_f1 = best_exact;
        for (const std::string& right : question.answers)
          best_exact = std::max(best_exact, exact_match(text, right)),
          best_f1 = std::max(best_f1, answer_f1(text, right));
        exact += best_exact, f1 += best_f1;
      }
      const double n = double(std::max<std::size_t>(answers_.size(), 1));
      return {{"exact_match", 100 * exact / n}, {"f1", 100 * f1 / n}};
    }

    std::int64_t size() const { return std::int64_t(answers_.size()); }
    /// {"id": ..., "prediction_text": ..., "answers": [...]} of one question.
    Json prediction(std::int64_t i) const {
      const Answer& answer = answers_[std::size_t(i)];
      const Question& question = question_of(answer);
      return {{"id", question.id}, {"prediction_text", text_of(answer)}, {"answers", question.answers}};
    }

   private:
    struct Answer {
      std::int64_t question = 0;
      Span span;  // tokens of the context
      float no_answer = 0;
    };

    const Question& question_of(const Answer& answer) const {
      return data_.store().questions[std::size_t(answer.question)];
    }
    /// Empty where no answer is likelier than the best one, if the data has questions without.
    std::string text_of(const Answer& answer) const {
      if (answer.span.start < 0 || (may_be_unanswered_ && answer.no_answer > answer.span.score)) return "";
      const Question& question = question_of(answer);
      auto begin = std::size_t(question.offsets[std::size_t(answer.span.start)]);
      auto end = std::size_t(question.offsets[std::size_t(answer.span.end) + 1]);
      while (begin > 0 && detail::is_utf8_continuation(question.context[begin])) --begin;
      while (end < question.context.size() && detail::is_utf8_continuation(question.context[end])) ++end;
      while (begin < end && question.context[begin] == ' ') ++begin;
      return question.context.substr(begin, end - begin);
    }

    const ExampleRange<Store>& data_;
    bool may_be_unanswered_;
    std::vector<Answer> answers_;
  };
};

}  // namespace moderngpt2
