#pragma once

#include <algorithm>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include "moderngpt2/core/error.hpp"
#include "moderngpt2/core/separate_compilation.hpp"
#include "moderngpt2/data/dataset.hpp"
#include "moderngpt2/io/generation_config.hpp"
#include "moderngpt2/run/model_settings.hpp"
#include "moderngpt2/run/request.hpp"
#include "moderngpt2/run/text_data.hpp"
#include "moderngpt2/tokenizer/chat_template.hpp"
#include "moderngpt2/tokenizer/tokenizer.hpp"
#include "moderngpt2/training/hooks.hpp"

namespace moderngpt2 {

namespace detail {

/// Packs the request's text into blocks and returns their metadata file. A dry run packs nothing and returns the file
/// only if the blocks exist.
std::optional<std::filesystem::path> blocks_of_text(const TrainingRequest& request, const PreparedRun<>& run,
                                                    const TrainingHooks& hooks);

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
  PackedText text(*run.tokenizer, *request.text, run.block_size, request.settings.output_dir, checkpoint);
  if (!request.dry_run || text.is_there()) return text.pack(request.threads, hooks);
  hooks.say("text: would pack " + text.description());
  return std::nullopt;
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
  if (!tokenizer_path) return made;
  const bool is_folder = std::filesystem::is_directory(*tokenizer_path);
  const std::optional<int> end_of_turn = run.tokenizer->id(chat_eot_token);
  if (end_of_turn && has_chat_template(is_folder ? *tokenizer_path : tokenizer_path->parent_path()))
    add_eos(*end_of_turn);
  return made;
}

}  // namespace moderngpt2::detail

namespace moderngpt2 {

MODERNGPT2_INLINE PreparedRun<> prepare_run(const TrainingRequest& request, const TrainingHooks& hooks) {
  const auto& say = hooks.say;
  PreparedRun<> run;
  run.checkpoint = detail::find_resumed(request, say);

  const auto tokenizer_path = detail::load_tokenizer(request, !request.dry_run, run);
  const Tokenizer* const tokenizer = run.tokenizer ? &*run.tokenizer : nullptr;

  const ModelSource source = detail::model_source(request, run.checkpoint);
  const ConfigFile first = resolve_config(source, tokenizer, 0);
  auto dataset = request.metadata_file ? request.metadata_file : request.pre_tokenized_dataset_path;
  run.block_size = request.block_size.value_or(std::min(1024, first.config.n_positions));
  if (!dataset && request.text && tokenizer) {
    (void)resolve_config(source, tokenizer, run.block_size);  // reports errors before the text is packed
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
    if (tokenizer && !made_by.empty() && made_by != tokenizer->fingerprint_text())
      say(fmt::format("warning: {} was tokenized with another tokenizer.json than the one in {}", dataset->string(),
                      tokenizer_path->string()));
  } else if (!request.dry_run) {
    throw UsageError(
        "training data is needed: --pre_tokenized_dataset_path or --metadata_file, which pretokenize_dataset writes, "
        "or --input for text");
  }
  run.companions.config = resolve_config(source, tokenizer, run.block_size);
  if (run.checkpoint)
    require_same_model(read_config(run.checkpoint->folder).config, run.companions.config.config,
                       run.checkpoint->folder.string());
  run.companions.generation = detail::generation_config_of(request, run, tokenizer_path);
  return run;
}

}  // namespace moderngpt2

#endif
