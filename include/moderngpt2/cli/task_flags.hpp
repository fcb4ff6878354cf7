#pragma once

#include <string>

#include "moderngpt2/cli/options.hpp"
#include "moderngpt2/core/error.hpp"
#include "moderngpt2/data/source_options.hpp"
#include "moderngpt2/run/request.hpp"

namespace moderngpt2 {

/// Adds the flags of `train` that select a task or belong to one.
class TaskOptions {
 public:
  TaskOptions(Options& options, TrainingRequest& request) : options_(options), request_(request) {
    ExampleOptions& examples = request.examples.options;
    options.section("Task");
    options
        .add("task", task_,
             "Task to train: next-token prediction, or a classifier on labelled examples (docs/tasks.md).")
        .choices(
            {"causal-lm", "sequence-classification", "token-classification", "question-answering", "multiple-choice"});
    options.add("eval_input", request.examples.eval_inputs, "Examples to evaluate on.")
        .metavar("PATH")
        .default_text("the last 5% of --input")
        .alias("validation_file");
    options.add("label_column", examples.label_column, "Column of the labels.")
        .alias("label_column_name")
        .default_text("label and other common names");
    options.add("problem_type", examples.problem_type, "Sequence classification: type of the labels.")
        .default_text("detected from the labels");
    options.add("word_separator", examples.word_separator, "Token classification: text inserted between two words.");
    options.add("doc_stride", examples.doc_stride, "Question answering: overlap of consecutive windows, in tokens.")
        .at_least(0);
    options.add("predictions_file", request.predictions_file, "With --eval_only: write the predictions to this file.");
  }
  TaskOptions(const TaskOptions&) = delete;
  TaskOptions& operator=(const TaskOptions&) = delete;

  const std::string& task() const { return task_; }
  /// Whether the task trains on labelled examples instead of text.
  bool has_examples() const { return task_ != "causal-lm"; }

  /// Throws UsageError for given flags that belong to another task. Call after parsing.
  void check() const {
    for (const char* flag :
         {"eval_input", "label_column", "problem_type", "word_separator", "doc_stride", "predictions_file"})
      if (!has_examples() && options_.typed(flag))
        throw UsageError("--{} is not for --task causal-lm, but for classifiers", flag);
    for (const char* flag :
         {"pre_tokenized_dataset_path", "metadata_file", "txt_document", "max_input_lines_total", "strict",
          "max_invalid_utf8", "dataset", "c4_langs", "split_special_tokens", "bpe_dropout", "eval_fraction"})
      if (has_examples() && options_.typed(flag))
        throw UsageError("--{} is for --task causal-lm only; --task {} reads examples from --input", flag, task_);
  }

  /// Uses the files of --input, and --text_column if given, for the examples.
  void take(const SourceOptions& source) {
    request_.examples.inputs = source.inputs;
    if (options_.typed("text_column")) request_.examples.options.text_column = source.text_column;
  }

 private:
  Options& options_;
  TrainingRequest& request_;
  std::string task_ = "causal-lm";
};

}  // namespace moderngpt2
