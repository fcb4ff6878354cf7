#pragma once

#include <cmath>
#include <cstdint>
#include <limits>
#include <optional>
#include <string>
#include <vector>

#include "moderngpt2/core/error.hpp"
#include "moderngpt2/core/separate_compilation.hpp"
#include "moderngpt2/io/file_hash.hpp"
#include "moderngpt2/io/json.hpp"
#include "moderngpt2/training/best_state.hpp"
#include "moderngpt2/training/event_schedule.hpp"
#include "moderngpt2/training/loss_scale.hpp"
#include "moderngpt2/training/settings.hpp"

namespace moderngpt2 {

/// Progress of a run: trainer_state.json with Hugging Face's fields, and further fields under "moderngpt2".
struct TrainerState {
  std::int64_t step = 0;
  std::int64_t max_steps = 0;
  DataPosition position;
  std::uint64_t seed = 42;
  std::int64_t updates = 0;  ///< optimizer steps applied
  std::int64_t skipped = 0;  ///< steps with a loss or gradients that were not finite
  std::int64_t skipped_in_a_row = 0;
  std::int64_t unlabelled = 0;  ///< steps whose batch had no labels: nothing to learn
  BestState best{};
  bool save_only_model = false;                  ///< the checkpoint has no optimizer state: a run cannot resume from it
  std::optional<LossScale::State> loss_scale{};  ///< fp16 only
  std::int64_t tokens = 0;                       ///< tokens processed so far, padding included
  double flops = 0;                              ///< floating-point operations so far
  std::int64_t blocks = 0;                       ///< blocks of the training data
  int block_size = 0;
  double logged_loss_sum = 0;  ///< sum of losses since the last log line
  std::int64_t logged_steps = 0;
  Json log_history = Json::array();
  std::string run_name;       ///< name of the TensorBoard log; empty: no log
  std::int64_t saved_at = 0;  ///< seconds since 1970; finds the newest checkpoint
  std::vector<FileRecord> files;
  Json json = Json::object();  ///< the file as read; unknown fields are preserved

  /// Completed epochs, including the fraction of the current one.
  double epoch() const {
    return double(position.epoch) + (blocks > 0 ? double(position.samples) / double(blocks) : 0.0);
  }
};

/// Content of trainer_state.json.
Json to_json(const TrainerState& state, const TrainingSettings& settings);

/// Parses a trainer_state.json of this library. `where`: prefix of Errors.
TrainerState parse_trainer_state(const Json& json, const std::string& where);

}  // namespace moderngpt2

#ifndef MODERNGPT2_DECLARE_RUNS

namespace moderngpt2 {

MODERNGPT2_INLINE Json to_json(const TrainerState& state, const TrainingSettings& settings) {
  Json out = state.json;
  out["epoch"] = state.epoch();
  const StepIntervals intervals = step_intervals(settings, state.max_steps);
  out["eval_steps"] = intervals.eval;
  out["global_step"] = state.step;
  out["is_hyper_param_search"] = false;
  out["is_local_process_zero"] = true;
  out["is_world_process_zero"] = true;
  out["log_history"] = state.log_history;
  out["logging_steps"] = intervals.logging;
  out["max_steps"] = state.max_steps;
  out["num_input_tokens_seen"] = state.tokens;
  out["num_train_epochs"] = static_cast<std::int64_t>(std::ceil(settings.num_train_epochs));
  out["save_steps"] = intervals.save;
  if (!out.contains("stateful_callbacks")) out["stateful_callbacks"] = Json::object();
  out["total_flos"] = state.flops;
  out["train_batch_size"] = settings.per_device_train_batch_size;
  for (const char* absent : {"trial_name", "trial_params"})
    if (!out.contains(absent)) out[absent] = nullptr;
  Json own = Json::object();
  own["epoch"] = state.position.epoch;
  own["samples_in_epoch"] = state.position.samples;
  own["seed"] = state.seed;
  own["optimizer_updates"] = state.updates;
  own["skipped_steps"] = state.skipped;
  own["skipped_in_a_row"] = state.skipped_in_a_row;
  if (state.unlabelled > 0) own["unlabelled_steps"] = state.unlabelled;
  if (settings.save_only_model) own["save_only_model"] = true;
  write_best(out, own, state.best, settings);
  if (const auto& scale = state.loss_scale)
    own["loss_scale"] =
        Json{{"scale", scale->scale}, {"good_steps", scale->good_steps}, {"overflows_left", scale->overflows_left}};
  own["train_blocks"] = state.blocks;
  own["block_size"] = state.block_size;
  own["logged_loss_sum"] = state.logged_loss_sum;
  own["logged_steps"] = state.logged_steps;
  if (!state.run_name.empty()) own["run_name"] = state.run_name;
  own["saved_at"] = state.saved_at;
  own["files"] = Json::array();
  for (const FileRecord& file : state.files)
    own["files"].push_back(Json{{"name", file.name}, {"bytes", file.bytes}, {"xxh3", file.xxh3}});
  out["moderngpt2"] = std::move(own);
  return out;
}

MODERNGPT2_INLINE TrainerState parse_trainer_state(const Json& json, const std::string& where) {
  auto count = [&](const Json& object, const char* key) {
    const auto n = get_field<std::int64_t>(object, key, where);
    if (n < 0) throw Error("{}: {} is {}, it must not be negative", where, key, n);
    return n;
  };
  const Json* own = find_field(json, "moderngpt2", where);
  if (!own)
    throw Error("{}: written by another program, only its weights can be used, by {}", where, Setting{"model_path"});
  TrainerState state;
  state.json = json;
  state.step = count(json, "global_step");
  state.max_steps = count(json, "max_steps");
  state.tokens = count(json, "num_input_tokens_seen");
  state.flops = get_field<double>(json, "total_flos", where);
  if (const Json* history = find_field(json, "log_history", where)) {
    if (!history->is_array()) throw Error("{}: log_history must be a list", where);
    state.log_history = *history;
  }
  state.position = {count(*own, "epoch"), count(*own, "samples_in_epoch")};
  state.seed = get_field<std::uint64_t>(*own, "seed", where);
  state.updates = count(*own, "optimizer_updates");
  state.skipped = count(*own, "skipped_steps");
  state.skipped_in_a_row = count(*own, "skipped_in_a_row");
  state.unlabelled = own->contains("unlabelled_steps") ? count(*own, "unlabelled_steps") : 0;
  state.save_only_model = get_field_or(*own, "save_only_model", false, where);
  state.best = parse_best(json, *own, where);
  if (const Json* scale = find_field(*own, "loss_scale", where)) {
    state.loss_scale = {get_field<double>(*scale, "scale", where), count(*scale, "good_steps"),
                        count(*scale, "overflows_left")};
    if (!(state.loss_scale->scale > 0)) throw Error("{}: loss_scale is {}", where, state.loss_scale->scale);
  }
  state.blocks = count(*own, "train_blocks");
  state.block_size = get_field<int>(*own, "block_size", where);
  state.logged_loss_sum =
      get_optional_field<double>(*own, "logged_loss_sum", where).value_or(std::numeric_limits<double>::quiet_NaN());
  state.logged_steps = count(*own, "logged_steps");
  state.saved_at = count(*own, "saved_at");
  state.run_name = get_optional_field<std::string>(*own, "run_name", where).value_or("");
  const Json* files = find_field(*own, "files", where);
  if (!files || !files->is_array() || files->empty()) throw Error("{}: files must be a list", where);
  for (const Json& file : *files)
    state.files.push_back({get_field<std::string>(file, "name", where), get_field<std::uint64_t>(file, "bytes", where),
                           get_field<std::string>(file, "xxh3", where)});
  if (state.position.samples > 0 && state.position.samples >= state.blocks)
    throw Error("{}: samples_in_epoch is {} of {} blocks", where, state.position.samples, state.blocks);
  return state;
}

}  // namespace moderngpt2

#endif
