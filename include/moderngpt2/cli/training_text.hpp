#pragma once

#include <optional>

#include "moderngpt2/cli/options.hpp"
#include "moderngpt2/cli/text_flags.hpp"
#include "moderngpt2/cli/training_flags.hpp"
#include "moderngpt2/core/error.hpp"
#include "moderngpt2/run/text_data.hpp"

namespace moderngpt2 {

/// Adds the flags that name text to train on.
class TrainingText {
 public:
  explicit TrainingText(Options& options) : options_(options) {
    options.add("split_special_tokens", data_.split_special_tokens,
                "Encode text that looks like a special token as ordinary tokens.");
    options
        .add("bpe_dropout", data_.bpe_dropout,
             "BPE dropout: probability of leaving out each merge in training documents; depends on --seed.")
        .between(0, 1);
    options
        .add("eval_fraction", data_.eval_fraction,
             "Fraction of the blocks, taken from the end, to hold out for evaluation.")
        .between(0, 0.5)
        .default_text("see --streaming_eval_samples");
    text_.input().alias("train_file");
  }
  TrainingText(const TrainingText&) = delete;
  TrainingText& operator=(const TrainingText&) = delete;

  /// Files of the parsed command line.
  const SourceOptions& source() {
    (void)text_.named();
    return data_.source;
  }

  /// Returns the text that the flags name; nullopt if `has_blocks` (other flags name packed blocks), or in a dry run
  /// without data. Throws UsageError if the flags name both or neither.
  std::optional<TextData> chosen(bool has_blocks, bool dry_run) {
    for (const char* flag :
         {"input", "languages", "text_column", "txt_document", "max_input_lines_total", "strict", "max_invalid_utf8",
          "dataset", "c4_langs", "split_special_tokens", "bpe_dropout", "eval_fraction"})
      if (has_blocks && options_.typed(flag))
        throw UsageError("--{} is for text, but another flag names packed blocks: give one of them", flag);
    if (has_blocks) return std::nullopt;
    if (text_.named()) return data_;
    refuse_or_note(dry_run, text_.missing("--pre_tokenized_dataset_path, --metadata_file or --input"));
    return std::nullopt;
  }

 private:
  Options& options_;
  TextData data_;
  TextOptions text_{options_, data_.source, "max_input_lines_total", "c4_langs"};
};

}  // namespace moderngpt2
