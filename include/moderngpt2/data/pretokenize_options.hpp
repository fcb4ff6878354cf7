#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>

#include "moderngpt2/data/resume_state.hpp"
#include "moderngpt2/data/source.hpp"
#include "moderngpt2/tokenizer/tokenizer.hpp"

namespace moderngpt2 {

/// What pretokenize() makes of which text.
struct PretokenizeOptions {
  SourceOptions source;
  std::filesystem::path output_path;
  int block_size = 1024;
  std::int64_t max_samples_per_shard = 200000;
  double eval_fraction = 0;                      // of the blocks, the last ones, kept apart for evaluation
  bool split_special_tokens = false;             // text that looks like a special token is ordinary text
  int num_threads = 1;                           // that encode; others read
  bool resume = false;                           // goes on where a run that was killed stopped
  std::function<void(const std::string&)> note;  // takes one line that says what resuming found; may be empty
};

/// How far a run is, with what it found done when it was resumed: `bytes_read` of `total_bytes` as the files lie on
/// disk, the rest of what came out of them.
struct PretokenizeProgress {
  std::int64_t documents = 0, tokens = 0, text_bytes = 0, bytes_read = 0, total_bytes = 0;
  std::int64_t resumed_text_bytes = 0;  // the part of text_bytes that an earlier run did
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
  for (const TextFile& file : files)
    made.inputs.emplace_back(std::filesystem::absolute(file.path).lexically_normal().string(), file.bytes);
  return made;
}

}  // namespace detail

}  // namespace moderngpt2
