#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include "moderngpt2/config/field.hpp"
#include "moderngpt2/config/field_text.hpp"
#include "moderngpt2/core/error.hpp"
#include "moderngpt2/core/separate_compilation.hpp"
#include "moderngpt2/io/file_hash.hpp"
#include "moderngpt2/io/folder.hpp"
#include "moderngpt2/io/json.hpp"
#include "moderngpt2/training/best_state.hpp"
#include "moderngpt2/training/event_schedule.hpp"
#include "moderngpt2/training/loss_scale.hpp"
#include "moderngpt2/training/settings.hpp"

namespace moderngpt2 {

/// Inputs of a run that a checkpoint records, so that a resumed run can name what changed. All empty: unknown.
struct RunOrigin {
  std::vector<std::pair<std::string, std::string>> settings{};  ///< names and texts of describe(TrainingSettings)
  std::string precision{};                                      ///< word of --precision
  std::string train_data{}, eval_data{};                        ///< fingerprints
};

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
  std::string run_name;  ///< name of the TensorBoard log, a plain file name; empty: no log
  RunOrigin origin;
  std::int64_t saved_at = 0;  ///< seconds since 1970; finds the newest checkpoint
  std::vector<FileRecord> files;
  Json json = Json::object();  ///< the file as read; unknown fields are preserved

  /// Completed epochs, including the fraction of the current one.
  double epoch() const {
    return double(position.epoch) + (blocks > 0 ? double(position.samples) / double(blocks) : 0.0);
  }
};

namespace detail {

/// Bounds of numbers in a trainer_state.json, far enough from overflow for sums and products of a few of them.
inline constexpr std::int64_t most_steps = 1'000'000'000'000'000, most_counted = 1'000'000'000'000'000'000;

/// Reads fields of an object of trainer_state.json. Throws Errors that begin with `where` and name the field.
struct StateReader {
  const Json& object;
  const std::string& where;

  std::int64_t count(const char* key, std::int64_t most = most_counted) const;
  /// A number that is not negative.
  double number(const char* key) const;
  /// A list; null if it is missing.
  const Json* list(const char* key) const;
};

/// Throws an Error for an entry that is no object with a step of the run.
void check_log_history(const Json& history, std::int64_t step, const std::string& where);

}  // namespace detail

/// Content of trainer_state.json.
Json to_json(const TrainerState& state, const TrainingSettings& settings);

/// Parses a trainer_state.json of this library and checks every field that is used. `where`: prefix of Errors, which
/// name the field.
TrainerState parse_trainer_state(const Json& json, const std::string& where);

}  // namespace moderngpt2

#ifndef MODERNGPT2_DECLARE_RUNS

namespace moderngpt2::detail {

MODERNGPT2_INLINE std::int64_t StateReader::count(const char* key, std::int64_t most) const {
  const auto n = get_field<std::int64_t>(object, key, where);
  if (n < 0 || n > most) throw Error("{}: {} is {}, it must be from 0 to {}", where, key, n, most);
  return n;
}

MODERNGPT2_INLINE double StateReader::number(const char* key) const {
  const auto n = get_field<double>(object, key, where);
  if (!(n >= 0)) throw Error("{}: {} is {}, it must not be negative", where, key, n);
  return n;
}

MODERNGPT2_INLINE const Json* StateReader::list(const char* key) const {
  const Json* found = find_field(object, key, where);
  if (found && !found->is_array()) throw Error("{}: {} must be a list, found {}", where, key, json_excerpt(*found));
  return found;
}

MODERNGPT2_INLINE void check_log_history(const Json& history, std::int64_t step, const std::string& where) {
  for (std::size_t i = 0; i < history.size(); ++i) {
    const std::string entry = fmt::format("{}: log_history[{}]", where, i);
    const auto at = get_field<std::int64_t>(history[i], "step", entry);
    if (at < 0 || at > step) throw Error("{}: step is {}, it must be from 0 to global_step {}", entry, at, step);
  }
}

}  // namespace moderngpt2::detail

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
  own["settings"] = Json::object();
  describe(settings, [&](const auto& member, const Field& field) { own["settings"][field.name] = field_text(member); });
  const RunOrigin& origin = state.origin;
  for (const auto& [name, text] :
       {std::pair("precision", &origin.precision), std::pair("train_data", &origin.train_data),
        std::pair("eval_data", &origin.eval_data)})
    if (!text->empty()) own[name] = *text;
  own["saved_at"] = state.saved_at;
  own["files"] = Json::array();
  for (const FileRecord& file : state.files)
    own["files"].push_back(Json{{"name", file.name}, {"bytes", file.bytes}, {"xxh3", file.xxh3}});
  out["moderngpt2"] = std::move(own);
  return out;
}

MODERNGPT2_INLINE TrainerState parse_trainer_state(const Json& json, const std::string& where) {
  const Json* own = find_field(json, "moderngpt2", where);
  if (!own)
    throw Error("{}: written by another program, only its weights can be used, by {}", where, Setting{"model_path"});
  const detail::StateReader top{json, where}, mine{*own, where};
  TrainerState state;
  state.json = json;
  state.step = top.count("global_step", detail::most_steps);
  state.max_steps = top.count("max_steps");
  state.tokens = top.count("num_input_tokens_seen");
  state.flops = top.number("total_flos");
  if (const Json* history = top.list("log_history")) {
    detail::check_log_history(*history, state.step, where);
    state.log_history = *history;
  }
  state.blocks = mine.count("train_blocks");
  state.position = {mine.count("epoch", state.step), mine.count("samples_in_epoch")};
  if (state.position.samples > 0 && state.position.samples >= state.blocks)
    throw Error("{}: samples_in_epoch is {} of {} blocks", where, state.position.samples, state.blocks);
  if (double(state.position.epoch) * double(state.blocks) > double(detail::most_counted))
    throw Error("{}: epoch is {} of {} blocks each, which is out of range", where, state.position.epoch, state.blocks);
  state.seed = get_field<std::uint64_t>(*own, "seed", where);
  state.updates = mine.count("optimizer_updates", state.step);
  state.skipped = mine.count("skipped_steps", state.step);
  state.skipped_in_a_row = mine.count("skipped_in_a_row", state.step);
  state.unlabelled = own->contains("unlabelled_steps") ? mine.count("unlabelled_steps", state.step) : 0;
  state.save_only_model = get_field_or(*own, "save_only_model", false, where);
  state.best = parse_best(json, *own, where);
  if (const Json* scale = find_field(*own, "loss_scale", where)) {
    const detail::StateReader fields{*scale, where};
    state.loss_scale = {fields.number("scale"), fields.count("good_steps"), fields.count("overflows_left")};
    if (!(state.loss_scale->scale > 0))
      throw Error("{}: loss_scale is {}, it must be positive", where, state.loss_scale->scale);
  }
  state.block_size = int(mine.count("block_size", std::numeric_limits<int>::max()));
  state.logged_loss_sum =
      get_optional_field<double>(*own, "logged_loss_sum", where).value_or(std::numeric_limits<double>::quiet_NaN());
  state.logged_steps = mine.count("logged_steps", state.step);
  state.saved_at = mine.count("saved_at");
  state.run_name = get_optional_field<std::string>(*own, "run_name", where).value_or("");
  if (!state.run_name.empty() && !is_plain_name(state.run_name))
    throw Error("{}: run_name is {}, it must be the name of a folder, not a path", where, excerpt(state.run_name));
  if (const Json* settings = find_field(*own, "settings", where)) {
    if (!settings->is_object()) throw Error("{}: settings must be an object", where);
    for (const auto& [name, value] : settings->items())
      state.origin.settings.emplace_back(name, json_as<std::string>(value, "settings: " + excerpt(name), where));
  }
  state.origin.precision = get_optional_field<std::string>(*own, "precision", where).value_or("");
  state.origin.train_data = get_optional_field<std::string>(*own, "train_data", where).value_or("");
  state.origin.eval_data = get_optional_field<std::string>(*own, "eval_data", where).value_or("");
  const Json* files = mine.list("files");
  if (!files || files->empty()) throw Error("{}: files must be a list of the checkpoint's files", where);
  for (const Json& file : *files) {
    state.files.push_back({get_field<std::string>(file, "name", where), get_field<std::uint64_t>(file, "bytes", where),
                           get_field<std::string>(file, "xxh3", where)});
    if (!is_plain_name(state.files.back().name))
      throw Error("{}: files contains {}, which is not a plain file name", where, excerpt(state.files.back().name));
  }
  return state;
}

}  // namespace moderngpt2

#endif
