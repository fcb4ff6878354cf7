#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include "moderngpt2/core/error.hpp"
#include "moderngpt2/core/separate_compilation.hpp"
#include "moderngpt2/data/parquet_text.hpp"
#include "moderngpt2/data/pretokenize.hpp"
#include "moderngpt2/data/resume_state.hpp"
#include "moderngpt2/data/text_files.hpp"
#include "moderngpt2/tokenizer/tokenizer.hpp"
#include "moderngpt2/training/checkpoint/checkpoint_folder.hpp"
#include "moderngpt2/training/checkpoint/output_folder.hpp"
#include "moderngpt2/training/hooks.hpp"

namespace moderngpt2 {

/// Text to train on. Packed once into shards in OUTPUT_DIR/packed_text, in the format of pretokenize_dataset.
struct TextData {
  SourceOptions source{};
  bool split_special_tokens = false;
  std::optional<int> eos_id{};  ///< ends each document; default: the tokenizer's eos token
  double bpe_dropout = 0;       ///< see PretokenizeOptions
  std::uint64_t seed = 42;      ///< seed of bpe_dropout
  double eval_fraction = 0;     ///< fraction of blocks for evaluation; 0: split off when the data set is opened
};

/// Thrown when a signal or the time limit stops packing. Finished shards are kept for the next run.
struct PackingStopped {
  int reason = 0;  ///< see core/stop.hpp
};

/// Packs the text of a run into blocks on disk, or reuses the blocks of an earlier run. Threads: one at a time.
class PackedText {
 public:
  /// `checkpoint`: folder of the checkpoint to resume from. Throws Error if an input does not exist.
  PackedText(const Tokenizer& tokenizer, const TextData& text, int block_size, const std::filesystem::path& output_dir,
             const std::optional<std::filesystem::path>& checkpoint = std::nullopt);
  PackedText(const PackedText&) = delete;
  PackedText& operator=(const PackedText&) = delete;

  /// Returns a description of the text files, the block size and the folder of the blocks.
  std::string description() const {
    return fmt::format("{}, as blocks of {} tokens in {}", files_text(files_), options_.block_size, folder().string());
  }
  const std::filesystem::path& folder() const { return options_.output_path; }

  /// Returns true if the folder holds the blocks of exactly this text. Hashes files whose time stamps have changed.
  /// Throws Error if the folder's blocks are of other text and a run was trained on them.
  bool is_there();

  /// Packs the text that is not packed yet and returns the metadata file of the blocks. Throws PackingStopped if
  /// hooks.stop returns a reason, Error as pretokenize() does.
  std::filesystem::path pack(int threads, const TrainingHooks& hooks);

 private:
  static constexpr const char* name = "packed_text";
  std::filesystem::path metadata_file() const { return folder() / "metadata.yaml"; }
  std::filesystem::path record_file() const { return folder() / "text.json"; }

  // Compares files by content, wherever they are. An unchanged path and time stamp saves reading a file again.
  void identify();

  void refuse_other_text() const;

  static std::string time_of(const std::filesystem::path& path);

  const Tokenizer& tokenizer_;
  std::filesystem::path output_dir_;
  bool resumed_;
  PretokenizeOptions options_;
  std::vector<TextFile> files_;
  PretokenizeState record_;  // this run's text
  std::string differs_;      // first difference from the text that the folder was packed from; empty: none
};

}  // namespace moderngpt2

#ifndef MODERNGPT2_DECLARE_RUNS

namespace moderngpt2 {

MODERNGPT2_INLINE PackedText::PackedText(const Tokenizer& tokenizer, const TextData& text, int block_size,
                                         const std::filesystem::path& output_dir,
                                         const std::optional<std::filesystem::path>& checkpoint)
    : tokenizer_(tokenizer), output_dir_(output_dir), resumed_(checkpoint.has_value()) {
  options_.eos_id = text.eos_id;
  options_.bpe_dropout = text.bpe_dropout;
  options_.seed = text.seed;
  (void)document_eos(tokenizer, options_);
  check_bpe_dropout(tokenizer, options_);
  options_.source = text.source;
  options_.source.open_parquet = &open_parquet_text;
  options_.output_path = output_dir / name;
  // A checkpoint of another output folder is resumed with the blocks of that folder.
  if (checkpoint && !std::filesystem::exists(record_file())) {
    const std::filesystem::path other = std::filesystem::absolute(*checkpoint).parent_path() / name;
    if (std::filesystem::exists(other / "metadata.yaml")) options_.output_path = other;
  }
  options_.block_size = block_size;
  // A stopped run keeps whole shards only, so shards are small: 16 million tokens.
  options_.max_samples_per_shard = std::max<std::int64_t>(1, (std::int64_t{1} << 24) / block_size);
  options_.eval_fraction = text.eval_fraction;
  options_.split_special_tokens = text.split_special_tokens;
  options_.resume = true;
  files_ = find_dataset_files(options_.source.inputs);
}

MODERNGPT2_INLINE bool PackedText::is_there() {
  identify();
  return differs_.empty() && std::filesystem::exists(metadata_file());
}

MODERNGPT2_INLINE std::filesystem::path PackedText::pack(int threads, const TrainingHooks& hooks) {
  if (is_there()) {
    hooks.say("text: packed already: " + description());
    return metadata_file();
  }
  hooks.say("text: packing " + description());
  if (resumed_ && !std::filesystem::exists(record_file()))
    hooks.say("warning: the resumed run's blocks are missing: they are packed again, and differ if the text changed");
  const OutputFolder lock(output_dir_, 0);  // against other runs
  if (!differs_.empty()) std::filesystem::remove_all(folder());
  std::filesystem::create_directories(folder());
  write_state(record_file(), record_);
  options_.num_threads = threads;
  options_.source.warn = [&](const std::string& line) { hooks.say("warning: " + line); };
  options_.source.note = [&](const std::string& line) { hooks.say("note: " + line); };
  const DatasetMetadata packed = pretokenize(tokenizer_, options_, [&](const PretokenizeProgress& now) {
    if (const int reason = hooks.stop ? hooks.stop() : 0) throw PackingStopped{reason};
    if (hooks.on_packing) hooks.on_packing(now);
  });
  hooks.say(summary(packed));
  return metadata_file();
}

MODERNGPT2_INLINE void PackedText::identify() {
  std::optional<PretokenizeState> before;
  if (std::filesystem::exists(record_file())) before = read_state(record_file());
  std::vector<InputIdentity>& inputs = record_.fingerprint.inputs;
  record_.fingerprint =
      detail::pretokenize_fingerprint(tokenizer_, options_, files_, [](const TextFile&) { return std::string(); });
  if (before) {
    // Sizes and settings first, which takes no reading.
    PretokenizeFingerprint quick = before->fingerprint;
    for (std::size_t i = 0; i < std::min(quick.inputs.size(), inputs.size()); ++i)
      if (!quick.inputs[i].content.empty()) quick.inputs[i].path = inputs[i].path;
    differs_ = difference(quick, record_.fingerprint);
  }
  refuse_other_text();
  for (std::size_t i = 0; i < inputs.size(); ++i) {
    InputIdentity& input = inputs[i];
    input.time = time_of(files_[i].path);
    const InputIdentity* const known =
        before && i < before->fingerprint.inputs.size() ? &before->fingerprint.inputs[i] : nullptr;
    const bool is_unchanged =
        known && known->path == input.path && known->bytes == input.bytes && known->time == input.time;
    input.content = is_unchanged ? known->content : "";
    if (input.content.empty()) input.content = detail::hash_file(InputFile(files_[i].path));
  }
  if (before && differs_.empty()) differs_ = difference(before->fingerprint, record_.fingerprint);
  refuse_other_text();
}

MODERNGPT2_INLINE void PackedText::refuse_other_text() const {
  if (differs_.empty()) return;
  if (resumed_ || !find_checkpoints(output_dir_, [](const std::string&) {}).empty())
    throw Error("{}: an earlier run used other text: {}: give the same text and flags, or another --output_dir",
                folder().string(), differs_);
}

MODERNGPT2_INLINE std::string PackedText::time_of(const std::filesystem::path& path) {
  std::error_code error;
  const auto time = std::filesystem::last_write_time(path, error);
  return error ? "unknown" : fmt::format("{}", time.time_since_epoch().count());
}

}  // namespace moderngpt2

#endif
