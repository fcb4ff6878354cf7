#pragma once

#include <cmath>
#include <cstdint>
#include <exception>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>

#include <fmt/format.h>

#include "moderngpt2/core/error.hpp"
#include "moderngpt2/distributed/agreement.hpp"
#include "moderngpt2/training/best_state.hpp"
#include "moderngpt2/training/checkpoint/checkpoint.hpp"
#include "moderngpt2/training/evaluation.hpp"
#include "moderngpt2/training/model_optimizer.hpp"
#include "moderngpt2/training/settings.hpp"
#include "moderngpt2/training/state.hpp"

// Comparison of a run's evaluations (Transformers: Trainer._determine_best_metric, EarlyStoppingCallback).
namespace moderngpt2 {

namespace detail {

/// Whether a metric is better than the best so far; false for NaN and infinity, which JSON cannot store.
inline bool is_better(double metric, const std::optional<double>& best, const TrainingSettings& s) {
  if (!std::isfinite(metric)) return false;
  return !best || (greater_is_better(s) ? metric > *best : metric < *best);
}

}  // namespace detail

/// Value of an evaluation's metric by its name without the prefix eval_; nullopt if the evaluation does not have it.
inline std::optional<double> metric_of(const Evaluation& evaluation, std::string_view name) {
  if (name == "loss") return evaluation.loss;
  for (const auto& [score, value] : evaluation.scores)
    if (score == name) return value;
  return std::nullopt;
}

/// Throws an Error that lists the metrics if metric_for_best_model is neither the loss nor in `scores`.
inline void require_metric(const TrainingSettings& s, const ScoreList& scores) {
  if (!follows_metric(s) || metric_of({.scores = scores}, metric_name(s))) return;
  std::string known = "loss";
  for (const auto& [name, value] : scores) known += ", " + name;
  throw Error("{} is {}, the evaluation computes {}", Setting{"metric_for_best_model"},
              excerpt(s.metric_for_best_model.value_or("loss")), known);
}

/// Adds an evaluation after a step, and returns whether it is better than all before it. NaN and infinity never are.
inline bool add_evaluation(BestState& best, const TrainingSettings& s, const Evaluation& evaluation,
                           std::int64_t step) {
  const std::optional<double> metric = metric_of(evaluation, metric_name(s));
  if (!metric) return false;
  const bool is_best = detail::is_better(*metric, best.metric, s);
  const bool improves = is_best && (!best.metric || std::abs(*metric - *best.metric) > s.early_stopping_threshold);
  best.without_improvement = improves ? 0 : best.without_improvement + 1;
  if (is_best) best.metric = metric, best.step = step;
  return is_best;
}

/// Records that the step of an evaluation has a checkpoint.
inline void add_saved(BestState& best, const TrainingSettings& s, const Evaluation& evaluation, std::int64_t step) {
  const std::optional<double> metric = metric_of(evaluation, metric_name(s));
  if (metric && detail::is_better(*metric, best.saved_metric, s)) best.saved_metric = metric, best.saved_step = step;
}

/// Message about the end of a run by early stopping.
inline std::string early_stop_text(const TrainerState& state, const TrainingSettings& s) {
  const std::string best = state.best.metric
                               ? fmt::format(", the best is {:.6g} of step {}", *state.best.metric, state.best.step)
                               : std::string();
  return fmt::format("early stopping at step {} of {}: {} has not improved in {} evaluations{}", state.step,
                     state.max_steps, metric_name(s), state.best.without_improvement, best);
}

/// Replaces the weights of a run, which are those of state.step, by those of its best checkpoint. Keeps them if no
/// checkpoint is better, or if the best one is missing or damaged. Returns a message. `resumed_from`: checkpoint from
/// which the run was resumed; the best one may be in the same folder; empty: none. All ranks call it.
template <class M, class O>
std::string load_best_weights(const TrainerState& state, const TrainingSettings& s,
                              const std::filesystem::path& resumed_from, M& model, ModelOptimizer<M, O>& optimizer,
                              distributed::CommunicatorBase& ranks) {
  const BestState& best = state.best;
  if (best.saved_step == 0)
    return fmt::format(
        "warning: no checkpoint has an evaluation with a value of {}: the final model is that of step {}",
        metric_name(s), state.step);
  std::string text =
      fmt::format("the best model is that of step {}: {} {:.6g}", best.saved_step, metric_name(s), *best.saved_metric);
  if (best.step != best.saved_step)
    text += fmt::format(" (step {} had {:.6g}, but no checkpoint)", best.step, best.metric.value_or(0));
  if (best.saved_step == state.step) return text;
  std::filesystem::path folder = best_checkpoint_path(s.output_dir, state);
  std::string failure;
  if (ranks.rank() == 0) {
    try {
      if (!resumed_from.empty() && !std::filesystem::exists(folder))
        folder = checkpoint_path(resumed_from.parent_path(), best.saved_step);
      verify_checkpoint(open_checkpoint(folder));
    } catch (const std::exception& error) {  // any type: the other ranks wait for this one
      failure = error.what();
    }
  }
  if (max_over_ranks(ranks, !failure.empty(), "whether the best checkpoint is complete") > 0)
    return fmt::format("warning: {}, but its checkpoint cannot be read: the final model is that of step {}. {}", text,
                       state.step, failure);
  if (ranks.rank() != 0 && !resumed_from.empty() && !std::filesystem::exists(folder))
    folder = checkpoint_path(resumed_from.parent_path(), best.saved_step);
  run_or_fail_together(ranks, "reading the best checkpoint",
                       [&] { load_checkpoint_weights(folder, model, optimizer); });
  return text;
}

}  // namespace moderngpt2
