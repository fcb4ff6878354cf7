#pragma once

#include <algorithm>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "moderngpt2/data/resume_state.hpp"
#include "moderngpt2/data/source.hpp"
#include "moderngpt2/tokenizer/tokenizer.hpp"

namespace moderngpt2 {

/// Inputs and settings of pretokenize().
struct PretokenizeOptions {
  SourceOptions source;
  std::filesystem::path output_path;
  int block_size = 1024;
  std::int64_t max_samples_per_shard = 200000;
  /// Fraction of the blocks, at the end, for the validation set. Unused if a folder of the inputs has validation files,
  /// which then are the validation set.
  double eval_fraction = 0;
  bool split_special_tokens = false;             ///< encode special tokens in the text as ordinary text
  int num_threads = 1;                           ///< threads that encode; reading has its own
  bool resume = false;                           ///< continue an interrupted run
  std::function<void(const std::string&)> note;  ///< receives one line about resuming; optional
};

/// Progress of a run, including the part before it was resumed. `bytes_read` and `total_bytes` are compressed bytes.
struct PretokenizeProgress {
  std::int64_t documents = 0, tokens = 0, text_bytes = 0, bytes_read = 0, total_bytes = 0;
  std::int64_t resumed_text_bytes = 0;  ///< part of text_bytes from before the run was resumed
};

namespace detail {

inline PretokenizeFingerprint pretokenize_fingerprint(const Tokenizer& tokenizer, const PretokenizeOptions& options,
                                                      const std::vector<TextFile>& files) {
  const SourceOptions& source = options.source;
  constexpr const char* documents[]{"line", "paragraph", "file"};
  PretokenizeFingerprint made;
  made.settings = {
      {"the tokenizer's fingerprint", tokenizer.fingerprint_text()},
      {"the tokenizer's eos id", fmt::format("{}", *tokenizer.eos_id())},
      {"text_column", source.text_column},
      {"txt_document", documents[static_cast<int>(source.text_document)]},
      {"max_input_lines_total", fmt::format("{}", source.max_documents)},
      {"block_size", fmt::format("{}", options.block_size)},
      {"max_samples_per_shard", fmt::format("{}", options.max_samples_per_shard)},
      {"eval_fraction", fmt::format("{}", options.eval_fraction)},
      {"split_special_tokens", fmt::format("{}", options.split_special_tokens)},
      {"the longest document", fmt::format("{} bytes", source.max_document_bytes)},
  };
  const auto validation = std::count_if(files.begin(), files.end(), [](const TextFile& f) { return f.is_validation; });
  if (validation > 0) made.settings.emplace_back("the number of validation files", fmt::format("{}", validation));
  for (const TextFile& file : files) made.inputs.emplace_back(path_text(file.path), file.bytes);
  return made;
}

}  // namespace detail

}  // namespace moderngpt2
