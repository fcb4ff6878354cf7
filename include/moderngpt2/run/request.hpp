#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <fmt/format.h>

#include "moderngpt2/config/precision.hpp"
#include "moderngpt2/core/clock.hpp"
#include "moderngpt2/core/error.hpp"
#include "moderngpt2/core/parallel.hpp"
#include "moderngpt2/data/tasks/examples.hpp"
#include "moderngpt2/distributed/communicator.hpp"
#include "moderngpt2/io/gemma2_export.hpp"
#include "moderngpt2/io/model_folder.hpp"
#include "moderngpt2/io/model_format.hpp"
#include "moderngpt2/run/conversion_tokenizer.hpp"
#include "moderngpt2/run/model_settings.hpp"
#include "moderngpt2/run/report.hpp"
#include "moderngpt2/run/samples.hpp"
#include "moderngpt2/run/text_data.hpp"
#include "moderngpt2/run/tokenizer_choice.hpp"
#include "moderngpt2/tokenizer/tokenizer.hpp"
#include "moderngpt2/training/checkpoint/checkpoint_folder.hpp"
#include "moderngpt2/training/language_modelling.hpp"
#include "moderngpt2/training/settings.hpp"

namespace moderngpt2 {

/// Labelled examples to train and evaluate a classifier on.
struct ExampleFiles {
  std::vector<std::string> inputs;       ///< training set: files, globs, folders
  std::vector<std::string> eval_inputs;  ///< evaluation set; empty: the last 5% of `inputs`
  ExampleOptions options{};              ///< columns, block size and labels
};

/// Input of run_training(): file names and values of model, data and settings.
struct TrainingRequest {
  TrainingSettings settings;
  std::optional<std::string> model_size_name;  ///< default: the size of the resumed checkpoint, otherwise small
  ModelFields model_fields;                    ///< overrides fields of the size or of config_file
  std::optional<std::filesystem::path> config_file, model_path, tokenizer_path;
  TokenizerChoice tokenizer{};      ///< settings that the tokenizer's files lack
  std::optional<int> vocab_size{};  ///< model vocabulary; default: config_file, the tokenizer, the shards
  int pad_vocab_multiple = 1;       ///< the vocabulary of a new model is rounded up to a multiple
  std::optional<std::filesystem::path> pre_tokenized_dataset_path, metadata_file;
  std::optional<TextData> text;                       ///< language models: text to pack, if there are no shards
  ExampleFiles examples{};                            ///< classifiers: training and evaluation set
  std::optional<int> block_size;                      ///< tokens; default: taken from the shards
  std::int64_t streaming_eval_samples = 1000;         ///< maximum size of an evaluation set split off the training set
  std::optional<std::string> resume_from_checkpoint;  ///< a folder, or "latest"
  bool eval_only = false;
  bool dry_run = false;
  std::optional<WeightFormat> weights{};    ///< eval_only on the CPU: also evaluate with quantized matrices
  std::optional<std::string> gpu_memory{};  ///< dry run: memory of each GPU, such as "94GiB"
  std::optional<double> gpu_flops{};        ///< dry run: FLOP/s that each GPU reaches in training
  std::optional<std::filesystem::path>
      predictions_file{};  ///< classifiers: output of eval_only, a JSON line per example
  PrecisionName precision = PrecisionName::fp32;
  std::optional<int> gpu{};  ///< GPU number; empty: the CPU
  SampleSettings samples{};
  ReportSettings report{};
  int threads = available_threads();
  double start = seconds_now();  ///< start of the program or request; settings.max_hours counts from it
  distributed::CommunicatorBase* ranks = nullptr;  ///< settings.world_size processes; null: this process alone
  bool checkpoint_is_verified = false;             ///< rank 0 has compared the checkpoint's hashes
};

/// Opened and checked inputs of a request: config, tokenizer, data, checkpoint. Result of prepare_run() and
/// prepare_task_run().
template <class Task = LanguageModelling>
struct PreparedRun {
  ModelCompanions companions;
  std::optional<Tokenizer> tokenizer;
  std::optional<typename Task::Splits> data;  ///< empty in a dry run without data
  std::optional<Checkpoint> checkpoint;       ///< to resume from
  int block_size = 1024;                      ///< maximum length of a sequence, in tokens
  RunOrigin origin{};                         ///< recorded in checkpoints; empty in an evaluation
};

namespace detail {

/// Path of the run's tokenizer: tokenizer_path, otherwise the folder of the initial weights if it has a tokenizer.
std::optional<std::filesystem::path> tokenizer_folder(const TrainingRequest& request,
                                                      const std::optional<Checkpoint>& checkpoint);

/// Opens and verifies the checkpoint to resume from. Empty if none is requested, or for "latest" if output_dir has
/// none.
template <class Say>
std::optional<Checkpoint> find_resumed(const TrainingRequest& request, Say&& say) {
  if (!request.resume_from_checkpoint) return std::nullopt;
  const std::string& from = *request.resume_from_checkpoint;
  const std::filesystem::path& output = request.settings.output_dir;
  std::optional<Checkpoint> found;
  if (from == "latest") {
    found = latest_checkpoint(
        output, [&](const std::string& line) { say("warning: " + line); }, !request.eval_only);
    // Starting afresh would replace checkpoints without optimizer state.
    if (!found)
      for (const Checkpoint& other : find_checkpoints(output, [](const std::string&) {}))
        require_optimizer_files(other);
    if (!found) say(output.string() + " has no checkpoint: starting afresh");
    const std::int64_t first = found ? found->state.step : 0;
    if (const std::int64_t last = last_unusable_step(output, found); last > first)
      say(fmt::format("warning: checkpoint-{} cannot be used: continuing from step {}, {} steps are lost", last, first,
                      last - first));
  } else {
    found = open_checkpoint(from);
    if (!request.eval_only) require_optimizer_files(*found);
    if (!request.checkpoint_is_verified) verify_checkpoint(*found);
  }
  if (found) say("resuming from " + found->folder.string());
  return found;
}

/// Whether a run encodes text, and so needs a tokenizer that can be loaded.
enum class TokenizerUse {
  required,  ///< text is encoded
  optional,  ///< a dry run
  copied,    ///< training on shards: the files are copied; prints a note if the tokenizer cannot be loaded
};

/// Loads the tokenizer of a run and its files, and returns its path; nothing if the request names none. Throws
/// UsageError if none is named and it is required.
template <class Task, class Say>
std::optional<std::filesystem::path> load_tokenizer(const TrainingRequest& request, TokenizerUse use,
                                                    PreparedRun<Task>& run, Say&& say) {
  const std::optional<std::filesystem::path> path = tokenizer_folder(request, run.checkpoint);
  if (!path && use == TokenizerUse::required)
    throw UsageError(
        "--tokenizer_path is needed: a tokenizer of train_tokenizer, Hugging Face, SentencePiece or tiktoken");
  if (!path) return path;
  try {
    run.tokenizer = open_tokenizer(*path, request.tokenizer);
    for (const std::string& line : run.tokenizer->notes()) say("note: " + line);
  } catch (const UsageError&) {
    throw;
  } catch (const Error& error) {
    if (use != TokenizerUse::copied || !std::filesystem::exists(*path)) throw;
    say(
        fmt::format("note: the tokenizer is copied as it is, since training on shards encodes no text. It cannot be "
                    "loaded: {}",
                    error.what()));
  }
  run.companions.tokenizer = TokenizerFiles::read(*path, run.tokenizer ? run.tokenizer->files().at(0).name : "");
  return path;
}

/// Prepares --save_format gemma2 or both: checks the config of the model to train, prints notes, and adds a
/// tokenizer.json if the tokenizer has another format. `path`: the tokenizer; may be empty.
template <class Task, class Say>
void prepare_export(const TrainingRequest& request, const std::optional<std::filesystem::path>& path,
                    PreparedRun<Task>& run, Say&& say) {
  if (request.settings.save_format == SaveFormat::moderngpt2 || request.eval_only) return;
  const ConfigFile& config = run.companions.config;
  require_gemma2(config, "--save_format");
  for (const std::string& note : gemma2_notes(config.config)) say("note: " + note);
  if (!path) return;
  run.companions.gemma2_tokenizer = run.companions.tokenizer;
  for (const std::string& note : add_tokenizer_json(run.companions.gemma2_tokenizer, *path, unlimited_model_length))
    say("note: " + note);
}

/// Returns the origin of a run's config: model_path, config_file, the checkpoint to resume from if no size is named, or
/// a size. `architecture`: class of the model to train.
ModelSource model_source(const TrainingRequest& request, const std::optional<Checkpoint>& checkpoint,
                         std::string_view architecture = architectures[0]);

}  // namespace detail

}  // namespace moderngpt2

#ifndef MODERNGPT2_DECLARE_RUNS

namespace moderngpt2::detail {

MODERNGPT2_INLINE std::optional<std::filesystem::path> tokenizer_folder(const TrainingRequest& request,
                                                                        const std::optional<Checkpoint>& checkpoint) {
  if (request.tokenizer_path) return request.tokenizer_path;
  if (request.model_path && TokenizerFiles::is_in(*request.model_path)) return request.model_path;
  if (checkpoint && TokenizerFiles::is_in(checkpoint->folder)) return checkpoint->folder;
  return std::nullopt;
}

MODERNGPT2_INLINE ModelSource model_source(const TrainingRequest& request, const std::optional<Checkpoint>& checkpoint,
                                           std::string_view architecture) {
  ModelSource source{.config = request.model_path ? request.model_path : request.config_file,
                     .size = request.model_size_name.value_or("small"),
                     .fields = request.model_fields,
                     .architecture = architecture,
                     .vocab_size = request.vocab_size,
                     .vocab_multiple = request.pad_vocab_multiple};
  if (!source.config && !request.model_size_name && checkpoint) source.config = checkpoint->folder;
  return source;
}

}  // namespace moderngpt2::detail

#endif
