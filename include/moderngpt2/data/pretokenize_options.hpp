#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <system_error>
#include <vector>

#include <fmt/format.h>

#include "moderngpt2/core/error.hpp"
#include "moderngpt2/data/resume_state.hpp"
#include "moderngpt2/data/source.hpp"
#include "moderngpt2/io/file.hpp"
#include "moderngpt2/io/file_hash.hpp"
#include "moderngpt2/tokenizer/tokenizer.hpp"

namespace moderngpt2 {

/// Inputs and settings of pretokenize().
struct PretokenizeOptions {
  SourceOptions source;
  std::filesystem::path output_path;
  int block_size = 1024;
  std::int64_t max_samples_per_shard = 200000;
  /// Fraction of the blocks, taken from the end, for the validation set. Ignored if an input folder has validation
  /// files, which then are the validation set.
  double eval_fraction = 0;
  bool split_special_tokens = false;  ///< encode special tokens in the text as ordinary text
  std::optional<int> eos_id{};        ///< ends each document; default: the tokenizer's eos token
  /// Probability of leaving out each merge of a BPE tokenizer (BPE dropout) in training documents, 0 to 1; 0: none.
  /// The ids depend on `seed` and the document's number only.
  double bpe_dropout = 0;
  std::uint64_t seed = 42;
  int num_threads = 1;                           ///< threads that encode; reading has its own
  bool resume = false;                           ///< continue an interrupted run
  std::function<void(const std::string&)> note;  ///< receives one line about resuming; optional
};

/// Progress of a run, including the part before it was resumed. `bytes_read` and `total_bytes` are compressed bytes.
struct PretokenizeProgress {
  std::int64_t documents = 0, tokens = 0, text_bytes = 0, bytes_read = 0, total_bytes = 0;
  std::int64_t resumed_text_bytes = 0;  ///< part of text_bytes from before the run was resumed
};

/// Throws Error if the options ask for BPE dropout and the tokenizer has no merges.
inline void check_bpe_dropout(const Tokenizer& tokenizer, const PretokenizeOptions& options) {
  if (options.bpe_dropout < 0 || options.bpe_dropout > 1)
    throw Error("{} is {}: it must be between 0 and 1", Setting{"bpe_dropout"}, options.bpe_dropout);
  if (options.bpe_dropout > 0)
    (void)tokenizer.encode("a", EncodeOptions{.split_special_tokens = false, .bpe_dropout = options.bpe_dropout});
}

/// Id that ends each document. Throws Error if neither the options nor the tokenizer have one.
inline int document_eos(const Tokenizer& tokenizer, const PretokenizeOptions& options) {
  if (options.eos_id) {
    if (*options.eos_id < 0 || *options.eos_id >= tokenizer.vocab_size())
      throw Error("{}: the id {} is outside the vocabulary of {} tokens", Setting{"eos_token_id"}, *options.eos_id,
                  tokenizer.vocab_size());
    return *options.eos_id;
  }
  if (const auto id = tokenizer.eos_id()) return *id;
  throw Error("the tokenizer has no eos token, which must end each document: give {} or {}", Setting{"eos_token"},
              Setting{"eos_token_id"});
}

namespace detail {

/// Hash of a file's size and content. Of a file of more than 4 MiB it reads 64 parts of 64 KiB, from the first byte to
/// the last, so that identifying terabytes of text takes seconds. Empty for a pipe, which can be read once only.
inline std::string sampled_hash(const std::filesystem::path& path) {
  constexpr std::uint64_t part = 1 << 16, parts = 64;
  std::error_code error;
  if (!std::filesystem::is_regular_file(path, error)) return "";
  const InputFile file(path);
  const std::uint64_t size = file.size();
  FileHash hash;
  hash.add(std::as_bytes(std::span(&size, 1)));
  std::vector<std::byte> bytes(part);
  const bool whole = size <= part * parts;
  const std::uint64_t count = whole ? (size + part - 1) / part : parts;
  for (std::uint64_t i = 0; i < count; ++i) {
    const std::uint64_t at =
        whole ? i * part : (size - part) / (parts - 1) * i + (size - part) % (parts - 1) * i / (parts - 1);
    const auto piece = std::span(bytes).first(static_cast<std::size_t>(std::min(part, size - at)));
    file.read(at, piece);
    hash.add(piece);
  }
  return hash.text();
}

/// How a file is read according to its name: "json of en".
inline std::string reading_of(const TextFile& file) {
  constexpr const char* contents[]{"unknown", "json", "txt", "parquet"};
  return fmt::format("{} of {}", contents[static_cast<int>(file.format.content)], file.language);
}

/// `content`: function that returns the hash of an input.
template <class Content>
PretokenizeFingerprint pretokenize_fingerprint(const Tokenizer& tokenizer, const PretokenizeOptions& options,
                                               const std::vector<TextFile>& files, Content&& content) {
  const SourceOptions& source = options.source;
  constexpr const char* documents[]{"line", "paragraph", "file"};
  PretokenizeFingerprint made;
  made.settings = {
      {"the tokenizer's fingerprint", tokenizer.fingerprint_text()},
      {"the tokenizer's eos id", fmt::format("{}", document_eos(tokenizer, options))},
      {"text_column", source.text_column},
      {"txt_document", documents[static_cast<int>(source.text_document)]},
      {"max_input_lines_total", fmt::format("{}", source.max_documents)},
      {"block_size", fmt::format("{}", options.block_size)},
      {"max_samples_per_shard", fmt::format("{}", options.max_samples_per_shard)},
      {"eval_fraction", fmt::format("{}", options.eval_fraction)},
      {"split_special_tokens", fmt::format("{}", options.split_special_tokens)},
      {"the longest document", fmt::format("{} bytes", source.max_document_bytes)},
      {"bpe_dropout", fmt::format("{}", options.bpe_dropout)},
  };
  if (options.bpe_dropout > 0) made.settings.emplace_back("seed", fmt::format("{}", options.seed));
  const auto validation = std::count_if(files.begin(), files.end(), [](const TextFile& f) { return f.is_validation; });
  if (validation > 0) made.settings.emplace_back("the number of validation files", fmt::format("{}", validation));
  for (const TextFile& file : files)
    made.inputs.push_back({path_text(file.path), file.bytes, reading_of(file), content(file), ""});
  return made;
}

}  // namespace detail

}  // namespace moderngpt2
