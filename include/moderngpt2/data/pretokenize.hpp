#pragma once

#include <algorithm>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <set>
#include <span>
#include <string>
#include <system_error>
#include <vector>

#include <fmt/format.h>

#include "moderngpt2/core/error.hpp"
#include "moderngpt2/core/separate_compilation.hpp"
#include "moderngpt2/data/dataset.hpp"
#include "moderngpt2/data/encoding_pipeline.hpp"
#include "moderngpt2/data/metadata.hpp"
#include "moderngpt2/data/packing.hpp"
#include "moderngpt2/data/pretokenize_options.hpp"
#include "moderngpt2/data/resume_state.hpp"
#include "moderngpt2/data/shard_writer.hpp"
#include "moderngpt2/data/split_evaluation.hpp"
#include "moderngpt2/data/staging.hpp"
#include "moderngpt2/tokenizer/tokenizer.hpp"

namespace moderngpt2 {

namespace detail {

/// One run of pretokenize(), from the beginning or from the state of an earlier run.
class PretokenizeRun {
 public:
  using Report = std::function<void(const PretokenizeProgress&)>;

  PretokenizeRun(const Tokenizer& tokenizer, const PretokenizeOptions& options, const Report& report);

  DatasetMetadata run();

 private:
  void note(const std::string& line) const {
    if (options_.note) options_.note(line);
  }
  std::string output() const { return options_.output_path.string(); }
  static SourceOptions evaluated(SourceOptions source) {
    source.evaluates = true;
    return source;
  }

  void load_state();

  // Metadata of a complete data set in the output, which must match the options.
  DatasetMetadata existing_dataset() const;

  // Removes all files except finished shards.
  void remove_unfinished();

  void pack();

  // Packs the validation files of the inputs into validation shards. Returns false if there are none, or too few.
  bool pack_evaluation(DatasetMetadata& metadata);

  // Saves the state: all that state_ counts is in finished shards, except the tokens in BlockPacker's partial block.
  void save(const ShardWriter& shards, std::size_t tokens_of_next);

  const Tokenizer& tokenizer_;
  const PretokenizeOptions& options_;
  const Report& report_;
  std::vector<TextFile> files_;  // files to train on, then files of validation sets
  EncodingPipeline pipeline_;
  DatasetStaging staging_;
  PretokenizeState state_;
  PretokenizeProgress progress_;
};

}  // namespace detail

/// Reads text, encodes it, packs it into blocks and writes shards with metadata.yaml to an output folder. The output is
/// complete on return and has no shards after an exception; finished shards stay in a hidden folder there for a run
/// with `resume`. The bytes depend on text, tokenizer and options only, not on threads or interruptions. `report`, if
/// set, is called after each document and periodically, and may throw to stop. Throws Error if the output contains a
/// data set, an input cannot be read, the tokenizer has no eos, the text is too short for one block, or the run to
/// resume had other inputs or settings.
DatasetMetadata pretokenize(const Tokenizer& tokenizer, const PretokenizeOptions& options,
                            const std::function<void(const PretokenizeProgress&)>& report = {});

/// Formats a table of the packed documents, tokens and bytes of each language.
std::string summary(const DatasetMetadata& metadata);

}  // namespace moderngpt2

#ifndef MODERNGPT2_DECLARE_RUNS

namespace moderngpt2 {

MODERNGPT2_INLINE DatasetMetadata pretokenize(const Tokenizer& tokenizer, const PretokenizeOptions& options,
                                              const std::function<void(const PretokenizeProgress&)>& report) {
  (void)document_eos(tokenizer, options);
  check_bpe_dropout(tokenizer, options);
  return detail::PretokenizeRun(tokenizer, options, report).run();
}

MODERNGPT2_INLINE std::string summary(const DatasetMetadata& metadata) {
  std::string text =
      fmt::format("{:<10} {:>12} {:>15} {:>16} {:>12}\n", "language", "documents", "tokens", "bytes", "bytes/token");
  LanguageCounts total{"total", 0, 0, 0};
  const auto row = [&](const LanguageCounts& c) {
    const double ratio = c.tokens > 0 ? static_cast<double>(c.bytes) / static_cast<double>(c.tokens) : 0;
    text += fmt::format("{:<10} {:>12} {:>15} {:>16} {:>12.2f}\n", c.language, c.documents, c.tokens, c.bytes, ratio);
  };
  for (const LanguageCounts& c : metadata.languages) {
    row(c);
    total.documents += c.documents, total.tokens += c.tokens, total.bytes += c.bytes;
  }
  if (metadata.languages.size() > 1) row(total);
  const std::int64_t used = (metadata.train_blocks + metadata.eval_blocks) * metadata.block_size;
  return text + fmt::format(
                    "{} blocks of {} tokens for training, {} for evaluation; {} tokens of a last, partial block "
                    "left out\n",
                    metadata.train_blocks, metadata.block_size, metadata.eval_blocks, total.tokens - used);
}

}  // namespace moderngpt2

namespace moderngpt2::detail {

MODERNGPT2_INLINE PretokenizeRun::PretokenizeRun(const Tokenizer& tokenizer, const PretokenizeOptions& options,
                                                 const Report& report)
    : tokenizer_(tokenizer),
      options_(options),
      report_(report),
      files_(find_dataset_files(options.source.inputs)),
      pipeline_(evaluated(options.source), DocumentEncoder(tokenizer, options), options.num_threads),
      staging_(options.output_path, options.resume ? DatasetStaging::Start::resume : DatasetStaging::Start::fresh) {
  state_.fingerprint =
      pretokenize_fingerprint(tokenizer, options, files_, [](const TextFile& file) { return sampled_hash(file.path); });
  for (const std::string& language : pipeline_.languages()) state_.languages.push_back({language, 0, 0, 0});
}

MODERNGPT2_INLINE DatasetMetadata PretokenizeRun::run() {
  if (options_.resume) {
    if (std::filesystem::exists(staging_.state_file())) load_state();
    if (staging_.is_publishing()) return staging_.finish_publication();
    if (staging_.is_complete()) {
      DatasetMetadata metadata = existing_dataset();
      staging_.discard_at_end();  // left by a run that was killed after the last step
      return metadata;
    }
    remove_unfinished();
  }
  try {
    if (!state_.packed) pack();
    DatasetMetadata metadata;
    metadata.languages = state_.languages;
    for (std::size_t i = 0; i < state_.shard_bytes.size(); ++i) metadata.train_files.push_back(shard_name(i));
    metadata.train_blocks = state_.blocks;
    metadata.block_size = options_.block_size;
    metadata.vocab_size = tokenizer_.vocab_size();
    metadata.tokenizer_fingerprint = tokenizer_.fingerprint_text();
    metadata.bpe_dropout = options_.bpe_dropout;
    metadata.seed = options_.bpe_dropout > 0 ? options_.seed : 0;
    if (!pack_evaluation(metadata)) split_evaluation(staging_, options_, metadata);
    staging_.publish(metadata);
    return metadata;
  } catch (...) {
    if (staging_.is_kept())
      note(fmt::format("{} finished shards are kept: {} continues after them", state_.shard_bytes.size(),
                       Setting{"resume"}));
    throw;
  }
}

MODERNGPT2_INLINE void PretokenizeRun::load_state() {
  staging_.keep();  // another run may resume it, even if this one cannot
  const PretokenizeState found = read_state(staging_.state_file());
  std::string differs = difference(found.fingerprint, state_.fingerprint);
  // Documents count by the place of their language in this list. Earlier versions took languages from other names.
  const auto same_name = [](const LanguageCounts& a, const LanguageCounts& b) { return a.language == b.language; };
  if (differs.empty() && !std::equal(found.languages.begin(), found.languages.end(), state_.languages.begin(),
                                     state_.languages.end(), same_name))
    differs = "its files now have other languages by their names";
  if (!differs.empty())
    throw Error("{}: cannot resume the unfinished run there: {} (without {} it is discarded)", output(), differs,
                Setting{"resume"});
  state_ = found;
}

MODERNGPT2_INLINE DatasetMetadata PretokenizeRun::existing_dataset() const {
  DatasetMetadata metadata = read_metadata(options_.output_path / "metadata.yaml");
  if (metadata.block_size != options_.block_size)
    throw Error("{}: holds a data set with blocks of {} tokens, not {}: name another folder", output(),
                metadata.block_size, options_.block_size);
  if (metadata.tokenizer_fingerprint != tokenizer_.fingerprint_text())
    throw Error("{}: holds a data set made with another tokenizer: name another folder", output());
  note(fmt::format("{}: is complete, nothing is left to do", output()));
  return metadata;
}

MODERNGPT2_INLINE void PretokenizeRun::remove_unfinished() {
  std::set<std::string> names{"state.json"};
  for (std::size_t i = 0; i < state_.shard_bytes.size(); ++i) {
    const std::filesystem::path shard = staging_.folder() / *names.insert(shard_name(i)).first;
    std::error_code error;
    if (std::filesystem::file_size(shard, error) != static_cast<std::uintmax_t>(state_.shard_bytes[i]) || error)
      throw Error("{}: missing or changed: the run cannot be resumed; remove {} to start again", shard.string(),
                  staging_.folder().string());
  }
  staging_.remove_except(names);
  staging_.expect_no_dataset();
  if (state_.shard_bytes.empty())
    note(fmt::format("{}: nothing to resume, starting from the beginning", output()));
  else
    note(fmt::format("{}: continuing after {} shards, {} documents", output(), state_.shard_bytes.size(),
                     state_.documents));
}

MODERNGPT2_INLINE void PretokenizeRun::pack() {
  ShardWriter shards(staging_.folder(), options_.block_size, options_.max_samples_per_shard, state_.shard_bytes.size());
  PretokenizeProgress& progress = progress_;
  progress.total_bytes = pipeline_.source().total_bytes();
  for (const LanguageCounts& counts : state_.languages) {
    progress.documents += counts.documents;
    progress.tokens += counts.tokens;
    progress.text_bytes += counts.bytes;
  }
  progress.resumed_text_bytes = progress.text_bytes;
  const std::int64_t passed = state_.documents;
  std::size_t begin = static_cast<std::size_t>(state_.tokens_of_next);
  BlockPacker packer(options_.block_size, [&](std::span<const std::int32_t> block) {
    if (shards.add(block)) save(shards, begin + packer.taken());
  });
  const auto tell = [&] {
    progress.bytes_read = pipeline_.bytes_read();
    if (report_) report_(progress);
  };
  const auto take = [&](const EncodedDocument& document) {
    packer.add(document.ids.subspan(std::min(begin, document.ids.size())));
    begin = 0;
    ++state_.documents;
    if (document.ids.empty()) return;
    LanguageCounts& counts = state_.languages[document.language];
    const auto tokens = static_cast<std::int64_t>(document.ids.size());
    ++counts.documents, ++progress.documents;
    counts.tokens += tokens, progress.tokens += tokens;
    counts.bytes += document.bytes, progress.text_bytes += document.bytes;
    tell();
  };
  pipeline_.run(passed, take, tell);
  shards.finish();
  if (shards.blocks() == 0)
    throw Error("the text has {} tokens, too few for one block of {}. Add text or reduce {}", progress.tokens,
                options_.block_size, Setting{"block_size"});
  state_.packed = true;
  save(shards, 0);
}

MODERNGPT2_INLINE bool PretokenizeRun::pack_evaluation(DatasetMetadata& metadata) {
  if (!files_.back().is_validation) return false;
  if (options_.eval_fraction > 0)
    note(fmt::format("{} is not used: the inputs have a validation set", Setting{"eval_fraction"}));
  SourceOptions source = options_.source;
  source.part = TextPart::validation;
  DocumentEncoder encoder(tokenizer_, options_);
  encoder.bpe_dropout = 0;  // evaluation data has one encoding
  EncodingPipeline pipeline(source, encoder, options_.num_threads);
  ShardWriter shards(staging_.eval_folder(), options_.block_size, options_.max_samples_per_shard);
  BlockPacker packer(options_.block_size, [&](std::span<const std::int32_t> block) { (void)shards.add(block); });
  std::vector<LanguageCounts> counts;
  for (const std::string& language : pipeline.languages()) counts.push_back({language, 0, 0, 0});
  const auto tell = [&] {
    if (report_) report_(progress_);
  };
  const auto take = [&](const EncodedDocument& document) {
    packer.add(document.ids);
    if (document.ids.empty()) return;
    LanguageCounts& count = counts[document.language];
    ++count.documents;
    count.tokens += static_cast<std::int64_t>(document.ids.size());
    count.bytes += document.bytes;
    tell();
  };
  pipeline.run(0, take, tell);
  shards.finish();
  if (shards.blocks() == 0) {
    note(fmt::format("the validation files have too few tokens for a block of {}: they are not used",
                     options_.block_size));
    return false;
  }
  for (const LanguageCounts& added : counts) {
    const auto found = std::find_if(metadata.languages.begin(), metadata.languages.end(),
                                    [&](const LanguageCounts& count) { return count.language == added.language; });
    LanguageCounts& sum = found != metadata.languages.end()
                              ? *found
                              : metadata.languages.emplace_back(LanguageCounts{added.language, 0, 0, 0});
    sum.documents += added.documents, sum.tokens += added.tokens, sum.bytes += added.bytes;
  }
  for (const std::string& name : shards.names()) metadata.eval_files.push_back("eval/" + name);
  metadata.eval_blocks = shards.blocks();
  metadata.eval_size = std::min(metadata.eval_blocks, options_.max_samples_per_shard);
  return true;
}

MODERNGPT2_INLINE void PretokenizeRun::save(const ShardWriter& shards, std::size_t tokens_of_next) {
  for (std::size_t i = state_.shard_bytes.size(); i < shards.names().size(); ++i)
    state_.shard_bytes.push_back(
        static_cast<std::int64_t>(std::filesystem::file_size(staging_.folder() / shards.names()[i])));
  state_.blocks = shards.blocks();
  state_.tokens_of_next = static_cast<std::int64_t>(tokens_of_next);
  write_state(staging_.state_file(), state_);
  staging_.keep();
}

}  // namespace moderngpt2::detail

#endif
