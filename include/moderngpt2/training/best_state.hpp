#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "moderngpt2/core/error.hpp"
#include "moderngpt2/core/separate_compilation.hpp"
#include "moderngpt2/io/json.hpp"
#include "moderngpt2/training/settings.hpp"

// Metric that decides which evaluation of a run is best, and the best ones so far.
namespace moderngpt2 {

/// Whether a run compares its evaluations by a metric.
inline bool follows_metric(const TrainingSettings& s) {
  return s.load_best_model_at_end || s.save_strategy == SaveStrategy::best || s.early_stopping_patience ||
         s.metric_for_best_model;
}
/// Metric that decides which evaluation is best, without the prefix eval_; "loss" by default.
inline std::string metric_name(const TrainingSettings& s) {
  const std::string name = s.metric_for_best_model.value_or("loss");
  return name.starts_with("eval_") ? name.substr(5) : name;
}
/// Whether a greater metric is better: the setting, by default false for losses, perplexities and errors.
inline bool greater_is_better(const TrainingSettings& s) {
  if (s.greater_is_better) return *s.greater_is_better;
  const std::string name = metric_name(s);
  for (const std::string_view lower : {"loss", "perplexity", "mse"})
    if (name.ends_with(lower)) return false;
  return true;
}

/// Best evaluations of a run so far: part of trainer_state.json.
struct BestState {
  std::string name{};                    ///< metric_name() of the values below
  std::optional<double> metric{};        ///< best_metric; empty: no evaluation yet
  std::int64_t step = 0;                 ///< best_global_step: step of that evaluation
  std::optional<double> saved_metric{};  ///< best metric of the evaluations whose step has a checkpoint; empty: none
  std::int64_t saved_step = 0;           ///< step of that checkpoint; 0: none
  std::int64_t without_improvement = 0;  ///< consecutive evaluations that early stopping counts
};

/// Whether early stopping ends the run.
inline bool stops_early(const BestState& best, const TrainingSettings& s) {
  return s.early_stopping_patience && best.without_improvement >= *s.early_stopping_patience;
}

/// Adds the fields of trainer_state.json: Hugging Face's to `out`, further ones to `own`.
void write_best(Json& out, Json& own, const BestState& best, const TrainingSettings& s);

/// Parses the fields of write_best(). `where`: prefix of Errors.
BestState parse_best(const Json& json, const Json& own, const std::string& where);

}  // namespace moderngpt2

#ifndef MODERNGPT2_DECLARE_RUNS

namespace moderngpt2 {

MODERNGPT2_INLINE void write_best(Json& out, Json& own, const BestState& best, const TrainingSettings& s) {
  out["best_metric"] = best.metric ? Json(*best.metric) : Json();
  out["best_global_step"] = best.step > 0 ? Json(best.step) : Json();
  out["best_model_checkpoint"] =
      best.saved_step > 0 ? Json((s.output_dir / ("checkpoint-" + std::to_string(best.saved_step))).string()) : Json();
  if (!best.name.empty()) own["best_metric_name"] = best.name;
  if (best.saved_metric) own["best_saved_metric"] = *best.saved_metric, own["best_saved_step"] = best.saved_step;
  if (!s.early_stopping_patience) return;
  Json& callback = out["stateful_callbacks"]["EarlyStoppingCallback"];
  callback["args"] = {{"early_stopping_patience", *s.early_stopping_patience},
                      {"early_stopping_threshold", s.early_stopping_threshold}};
  callback["attributes"] = {{"early_stopping_patience_counter", best.without_improvement}};
}

MODERNGPT2_INLINE BestState parse_best(const Json& json, const Json& own, const std::string& where) {
  BestState best;
  const auto step = [&](const Json& object, const char* key) {
    const auto n = get_optional_field<std::int64_t>(object, key, where).value_or(0);
    if (n < 0) throw Error("{}: {} is {}, it must not be negative", where, key, n);
    return n;
  };
  best.name = get_optional_field<std::string>(own, "best_metric_name", where).value_or("");
  best.metric = get_optional_field<double>(json, "best_metric", where);
  best.step = step(json, "best_global_step");
  best.saved_metric = get_optional_field<double>(own, "best_saved_metric", where);
  best.saved_step = step(own, "best_saved_step");
  if (!best.saved_metric || best.saved_step == 0) best.saved_metric.reset(), best.saved_step = 0;
  const Json* at = find_field(json, "stateful_callbacks", where);
  for (const char* key : {"EarlyStoppingCallback", "attributes"})
    if (at) at = find_field(*at, key, where);
  if (at) best.without_improvement = step(*at, "early_stopping_patience_counter");
  return best;
}

}  // namespace moderngpt2

#endif
