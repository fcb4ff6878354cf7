#pragma once

#include <algorithm>
#include <cstdint>
#include <filesystem>
#include <limits>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include "moderngpt2/core/error.hpp"
#include "moderngpt2/core/separate_compilation.hpp"
#include "moderngpt2/data/dataset.hpp"
#include "moderngpt2/data/metadata.hpp"
#include "moderngpt2/io/generation_config.hpp"
#include "moderngpt2/run/model_settings.hpp"
#include "moderngpt2/run/request.hpp"
#include "moderngpt2/run/text_data.hpp"
#include "moderngpt2/run/tokenizer_choice.hpp"
#include "moderngpt2/tokenizer/chat_template.hpp"
#include "moderngpt2/tokenizer/tokenizer.hpp"
#include "moderngpt2/training/hooks.hpp"

namespace moderngpt2 {

namespace detail {

/// Packs the request's text into blocks and returns their metadata file. A dry run packs nothing and returns the file
/// only if the blocks exist.
std::optional<std::filesystem::path> blocks_of_text(const TrainingRequest& request, const PreparedRun<>& run,
                                                    const TrainingHooks& hooks);

/// metadata.yaml of shards in `path`, a folder or a YAML file; empty fields if there is none.
DatasetMetadata metadata_of_shards(const std::filesystem::path& path);

/// Vocabulary of a run: that of its tokenizer; of a run on shards without a usable tokenizer, the size that
/// metadata.yaml names and the special tokens of the flags or of the tokenizer's files; nullopt if nothing is known.
/// Throws UsageError that names the flags if size or eos token are needed and not known.
std::optional<Vocabulary> vocabulary_of_run(const TrainingRequest& request, const PreparedRun<>& run,
                                            const std::optional<std::filesystem::path>& tokenizer_path,
                                            const DatasetMetadata& shards, const ModelSource& source);

/// Throws UsageError if --vocab_size or --pad_vocab_multiple would change the number of rows of existing weights.
void require_same_rows(const TrainingRequest& request, const PreparedRun<>& run, int vocab_size);

/// Returns the generation_config.json for the model to train: a copy of the initial model's file, unless that was
/// derived from config.json, with the special tokens of this run. If the tokenizer has a chat template, its end-of-turn
/// token is added to eos_token_id.
GenerationConfigFile generation_config_of(const TrainingRequest& request, const PreparedRun<>& run,
                                          const std::optional<std::filesystem::path>& tokenizer_path);

}  // namespace detail

/// Prepares the training of a language model: opens tokenizer, model config, checkpoint and data set, and packs text. A
/// dry run needs neither tokenizer nor data. Throws Error if they do not match, PackingStopped at a signal.
PreparedRun<> prepare_run(const TrainingRequest& request, const TrainingHooks& hooks);

}  // namespace moderngpt2

#ifndef MODERNGPT2_DECLARE_RUNS

namespace moderngpt2::detail {

MODERNGPT2_INLINE std::optional<std::filesystem::path> blocks_of_text(const TrainingRequest& request,
                                                                      const PreparedRun<>& run,
                                                                      const TrainingHooks& hooks) {
  std::optional<std::filesystem::path> checkpoint;
  if (run.checkpoint) checkpoint = run.checkpoint->folder;
  TextData data = *request.text;
  data.eos_id = eos_of(*run.tokenizer, request.tokenizer);
  data.seed = request.settings.seed;
  PackedText text(*run.tokenizer, data, run.block_size, request.settings.output_dir, checkpoint);
  if (!request.dry_run || text.is_there()) return text.pack(request.threads, hooks);
  hooks.say("text: would pack " + text.description());
  return std::nullopt;
}

MODERNGPT2_INLINE DatasetMetadata metadata_of_shards(const std::filesystem::path& path) {
  const std::filesystem::path file = std::filesystem::is_directory(path) ? path / "metadata.yaml" : path;
  return std::filesystem::exists(file) ? read_metadata(file) : DatasetMetadata();  // a missing data set: reported later
}

MODERNGPT2_INLINE std::optional<Vocabulary> vocabulary_of_run(
    const TrainingRequest& request, const PreparedRun<>& run,
    const std::optional<std::filesystem::path>& tokenizer_path, const DatasetMetadata& shards,
    const ModelSource& source) {
  if (run.tokenizer) return vocabulary_of(*run.tokenizer, request.tokenizer);
  if (!request.metadata_file && !request.pre_tokenized_dataset_path) return std::nullopt;  // a dry run
  Vocabulary vocabulary = vocabulary_of_files(tokenizer_path.value_or(""), request.tokenizer);
  if (shards.vocab_size > std::numeric_limits<int>::max())
    throw Error("metadata.yaml: vocab_size is {}, at most 2147483647 is supported", shards.vocab_size);
  vocabulary.size = static_cast<int>(shards.vocab_size);
  if (request.dry_run || source.config) return vocabulary;  // config.json has the rest
  if (vocabulary.size == 0 && !source.vocab_size)
    throw UsageError(
        "--tokenizer_path or --vocab_size is needed: the shards' metadata.yaml does not name the vocabulary size");
  if (!vocabulary.eos_id)
    throw UsageError(
        "--tokenizer_path or --eos_token_id is needed: the id of the token that ends each document of the shards");
  return vocabulary;
}

MODERNGPT2_INLINE void require_same_rows(const TrainingRequest& request, const PreparedRun<>& run, int vocab_size) {
  if (!request.vocab_size && request.pad_vocab_multiple == 1) return;
  std::optional<std::filesystem::path> weights = request.model_path;
  if (run.checkpoint) weights = run.checkpoint->folder;
  if (!weights) return;
  const int rows = read_config(*weights).config.vocab_size;
  if (rows != vocab_size)
    throw UsageError("{} and {} are for new models: the vocabulary of {} has {} ids, and the flags give {}",
                     Setting{"vocab_size"}, Setting{"pad_vocab_multiple"}, weights->string(), rows, vocab_size);
}

MODERNGPT2_INLINE GenerationConfigFile
generation_config_of(const TrainingRequest& request, const PreparedRun<>& run,
                     const std::optional<std::filesystem::path>& tokenizer_path) {
  GenerationConfigFile made = generation_config_from(run.companions.config);
  const auto add_eos = [&](int id) {
    if (std::find(made.eos_token_ids.begin(), made.eos_token_ids.end(), id) == made.eos_token_ids.end())
      made.eos_token_ids.push_back(id);
  };
  std::optional<std::filesystem::path> origin = request.model_path;
  if (!origin && run.checkpoint) origin = run.checkpoint->folder;
  if (origin && std::filesystem::exists(*origin / "generation_config.json")) {
    GenerationConfigFile there = read_generation_config(*origin);
    if (!there.from_model_config) {
      const std::vector<int> theirs = std::exchange(there.eos_token_ids, made.eos_token_ids);
      there.bos_token_id = made.bos_token_id, there.pad_token_id = made.pad_token_id;
      made = std::move(there);
      if (!request.tokenizer_path) std::for_each(theirs.begin(), theirs.end(), add_eos);
    }
  }
  if (!run.tokenizer) return made;
  const std::optional<int> end_of_turn = run.tokenizer->id(chat_eot_token);
  if (end_of_turn && has_chat_template(tokenizer_home(*tokenizer_path))) add_eos(*end_of_turn);
  return made;
}

}  // namespace moderngpt2::detail

namespace moderngpt2 {

MODERNGPT2_INLINE PreparedRun<> prepare_run(const TrainingRequest& request, const TrainingHooks& hooks) {
  const auto& say = hooks.say;
  PreparedRun<> run;
  run.checkpoint = detail::find_resumed(request, say);

  auto dataset = request.metadata_file ? request.metadata_file : request.pre_tokenized_dataset_path;
  using Use = detail::TokenizerUse;
  const auto tokenizer_path = detail::load_tokenizer(request,
                                                     dataset           ? Use::copied
                                                     : request.dry_run ? Use::optional
                                                                       : Use::required,
                                                     run, say);
  const ModelSource source = detail::model_source(request, run.checkpoint);
  const DatasetMetadata shards = dataset ? detail::metadata_of_shards(*dataset) : DatasetMetadata();
  const auto known = detail::vocabulary_of_run(request, run, tokenizer_path, shards, source);
  const Vocabulary* const vocabulary = known ? &*known : nullptr;
  const ConfigFile first = resolve_config(source, vocabulary, 0);
  detail::require_same_rows(request, run, first.config.vocab_size);
  if (shards.vocab_size > first.config.vocab_size)
    throw Error("{}: was tokenized with {} ids, but the model's vocab_size is {}: use the tokenizer of the shards",
                dataset->string(), shards.vocab_size, first.config.vocab_size);
  run.block_size = request.block_size.value_or(std::min(1024, first.config.n_positions));
  if (!dataset && request.text && run.tokenizer) {
    (void)resolve_config(source, vocabulary, run.block_size);  // reports errors before the text is packed
    dataset = detail::blocks_of_text(request, run, hooks);
  }
  if (dataset) {
    const DatasetSplits splits = DatasetSplits::open(*dataset, {.block_size = request.block_size.value_or(0),
                                                                .vocab_size = first.config.vocab_size,
                                                                .max_eval_blocks = request.streaming_eval_samples});
    for (const std::string& line : splits.notes) say("note: " + line);
    run.data = splits;
    run.block_size = run.data->train.block_size();
    const std::string& made_by = splits.metadata.tokenizer_fingerprint;
    const std::uint64_t own = run.tokenizer ? run.tokenizer->fingerprint() : run.companions.tokenizer.fingerprint();
    if (own != 0 && !made_by.empty() && made_by != fmt::format("{:016x}", own))
      say(fmt::format("warning: {} was tokenized with another tokenizer than {}", dataset->string(),
                      tokenizer_path->string()));
  } else if (!request.dry_run) {
    throw UsageError(
        "training data is needed: --pre_tokenized_dataset_path or --metadata_file, which pretokenize_dataset writes, "
        "or --input for text");
  }
  run.companions.config = resolve_config(source, vocabulary, run.block_size);
  if (run.checkpoint)
    require_same_model(read_config(run.checkpoint->folder).config, run.companions.config.config,
                       run.checkpoint->folder.string());
  run.companions.generation = detail::generation_config_of(request, run, tokenizer_path);
  detail::prepare_export(request, tokenizer_path, run, say);
  if (!run.tokenizer && !request.dry_run) {
    if (run.companions.tokenizer.files.empty())
      say("note: no tokenizer is copied into the checkpoints: generate needs --tokenizer_path");
    if (!request.samples.prompts.empty())
      say("note: --sample_prompts is ignored: there is no tokenizer to encode them");
  }
  return run;
}

}  // namespace moderngpt2

#endif
