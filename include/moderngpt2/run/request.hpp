#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "moderngpt2/config/precision.hpp"
#include "moderngpt2/core/clock.hpp"
#include "moderngpt2/core/error.hpp"
#include "moderngpt2/core/parallel.hpp"
#include "moderngpt2/data/tasks/examples.hpp"
#include "moderngpt2/distributed/communicator.hpp"
#include "moderngpt2/io/model_folder.hpp"
#include "moderngpt2/run/model_settings.hpp"
#include "moderngpt2/run/report.hpp"
#include "moderngpt2/run/samples.hpp"
#include "moderngpt2/run/text_data.hpp"
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
  std::optional<std::filesystem::path> pre_tokenized_dataset_path, metadata_file;
  std::optional<TextData> text;                       ///< language models: text to pack, if there are no shards
  ExampleFiles examples{};                            ///< classifiers: training and evaluation set
  std::optional<int> block_size;                      ///< tokens; default: taken from the shards
  std::int64_t streaming_eval_samples = 1000;         ///< maximum size of an evaluation set split off the training set
  std::optional<std::string> resume_from_checkpoint;  ///< a folder, or "latest"
  bool eval_only = false;
  bool dry_run = false;
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
};

namespace detail {

bool has_tokenizer(const std::filesystem::path& folder);

/// Folder of the run's tokenizer: tokenizer_path, otherwise the folder of the initial weights if it has a
/// tokenizer.json.
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
    found = latest_checkpoint(output, [&](const std::string& line) { say("warning: " + line); });
    if (!found) say(output.string() + " has no checkpoint: starting afresh");
  } else {
    found = open_checkpoint(from);
    if (!request.checkpoint_is_verified) verify_checkpoint(*found);
  }
  if (found) say("resuming from " + found->folder.string());
  return found;
}

/// Loads the tokenizer of a run and returns its folder; nothing if the request names none. Throws UsageError if none is
/// named and it `is_needed`.
template <class Task>
std::optional<std::filesystem::path> load_tokenizer(const TrainingRequest& request, bool is_needed,
                                                    PreparedRun<Task>& run) {
  const std::optional<std::filesystem::path> folder = tokenizer_folder(request, run.checkpoint);
  if (folder) {
    run.tokenizer = Tokenizer::load(*folder);
    run.companions.tokenizer = TokenizerFiles::read(*folder);
  } else if (is_needed) {
    throw UsageError("--tokenizer_path is needed: the folder that train_tokenizer wrote");
  }
  return folder;
}

/// Returns the origin of a run's config: model_path, config_file, the checkpoint to resume from if no size is named, or
/// a size. `architecture`: class of the model to train.
ModelSource model_source(const TrainingRequest& request, const std::optional<Checkpoint>& checkpoint,
                         std::string_view architecture = architectures[0]);

}  // namespace detail

}  // namespace moderngpt2

#ifndef MODERNGPT2_DECLARE_RUNS

namespace moderngpt2::detail {

MODERNGPT2_INLINE bool has_tokenizer(const std::filesystem::path& folder) {
  return std::filesystem::exists(folder / "tokenizer.json");
}

MODERNGPT2_INLINE std::optional<std::filesystem::path> tokenizer_folder(const TrainingRequest& request,
                                                                        const std::optional<Checkpoint>& checkpoint) {
  if (request.tokenizer_path) return request.tokenizer_path;
  if (request.model_path && has_tokenizer(*request.model_path)) return request.model_path;
  if (checkpoint && has_tokenizer(checkpoint->folder)) return checkpoint->folder;
  return std::nullopt;
}

MODERNGPT2_INLINE ModelSource model_source(const TrainingRequest& request, const std::optional<Checkpoint>& checkpoint,
                                           std::string_view architecture) {
  ModelSource source{.config = request.model_path ? request.model_path : request.config_file,
                     .size = request.model_size_name.value_or("small"),
                     .fields = request.model_fields,
                     .architecture = architecture};
  if (!source.config && !request.model_size_name && checkpoint) source.config = checkpoint->folder;
  return source;
}

}  // namespace moderngpt2::detail

#endif
