#pragma once

#include <string>

#include "moderngpt2/cli/options.hpp"
#include "moderngpt2/core/error.hpp"
#include "moderngpt2/data/source_options.hpp"
#include "moderngpt2/run/request.hpp"

namespace moderngpt2 {

/// The flags of `train --task`, all but those that are common to all training.
class TaskOptions {
 public:
  TaskOptions(Options& options, TrainingRequest& request) : options_(options), request_(request) {
    ExampleOptions& examples = request.examples.options;
    options.section("Task");
    options.add("task", task_, "what the model is to learn: the next token, or the labels of examples (docs/tasks.md)")
        .choices(
            {"causal-lm", "sequence-classification", "token-classification", "question-answering", "multiple-choice"});
    options
        .add("eval_input", request.examples.eval_inputs, "examples to evaluate on; without it the last 5% of --input")
        .metavar("PATH")
        .alias("validation_file");
    options.add("label_column", examples.label_column, "the column of the labels")
        .alias("label_column_name")
        .default_text("the usual names");
    options
        .add_choice("problem_type", examples.problem_type,
                    {{"regression", ProblemType::regression},
                     {"single_label_classification", ProblemType::single_label},
                     {"multi_label_classification", ProblemType::multi_label}},
                    "what the labels of texts are")
        .default_text("as they look");
    options.add("word_separator", examples.word_separator, "token classification: what stands between two words");
    options.add("doc_stride", examples.doc_stride, "question answering: tokens that two windows of a text share")
        .at_least(0);
    options.add("predictions_file", request.predictions_file, "file for what the model predicts, with --eval_only");
  }
  TaskOptions(const TaskOptions&) = delete;
  TaskOptions& operator=(const TaskOptions&) = delete;

  const std::string& task() const { return task_; }
  /// Whether the task has examples with labels, and not just text.
  bool has_examples() const { return task_ != "causal-lm"; }

  /// To be called once the command line is parsed. Throws UsageError for flags that another task has.
  void check() const {
    for (const char* flag :
         {"eval_input", "label_column", "problem_type", "word_separator", "doc_stride", "predictions_file"})
      if (!has_examples() && options_.typed(flag))
        throw UsageError("--{} belongs to another --task than causal-lm", flag);
    for (const char* flag : {"pre_tokenized_dataset_path", "metadata_file", "txt_document", "max_input_lines_total",
                             "strict", "dataset", "c4_langs", "split_special_tokens", "eval_fraction"})
      if (has_examples() && options_.typed(flag))
        throw UsageError("--{} is about text for --task causal-lm; --task {} needs examples, by --input", flag, task_);
  }

  /// The examples are in the files that the flags of text name.
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
