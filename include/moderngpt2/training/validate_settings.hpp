#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <optional>
#include <utility>

#include "moderngpt2/config/field.hpp"
#include "moderngpt2/config/field_text.hpp"
#include "moderngpt2/core/error.hpp"
#include "moderngpt2/core/separate_compilation.hpp"
#include "moderngpt2/training/best_state.hpp"
#include "moderngpt2/training/event_schedule.hpp"
#include "moderngpt2/training/loss_scale.hpp"
#include "moderngpt2/training/settings.hpp"

namespace moderngpt2 {

/// Throws an Error for the first setting that is out of the bounds of its row in describe(), not finite, or contradicts
/// another one. The message names the field, its value and what is accepted. The Trainer calls it before it allocates
/// or writes anything.
void validate(const TrainingSettings& s);

}  // namespace moderngpt2

#ifndef MODERNGPT2_DECLARE_RUNS

namespace moderngpt2 {

namespace detail {

/// Throws UsageError for settings of events that contradict each other, as Hugging Face's TrainingArguments does.
inline void validate_events(const TrainingSettings& s) {
  const bool evaluates = evaluates_at_end(s);
  const auto need_evaluation = [&](const char* name) {
    if (!evaluates)
      throw UsageError("{} needs evaluations, but {} is {}{}", Setting{name}, Setting{"eval_strategy"},
                       field_text(s.eval_strategy),
                       s.eval_strategy == IntervalStrategy::steps ? " and eval_steps is 0" : "");
  };
  if (s.metric_for_best_model && metric_name(s).empty())
    throw UsageError("{} is '{}', it must be a metric of the evaluation, such as loss or accuracy",
                     Setting{"metric_for_best_model"}, *s.metric_for_best_model);
  const std::pair<const char*, std::optional<double>> intervals[]{
      {"logging_steps", s.logging_steps}, {"eval_steps", s.eval_steps}, {"save_steps", s.save_steps}};
  for (const auto& [name, steps] : intervals)
    if (steps && *steps >= 1 && (*steps != std::floor(*steps) || *steps > 1e15))
      throw UsageError("{} is {}, it must be a whole number up to 1e15, or a fraction of all steps below 1",
                       Setting{name}, *steps);
  if (s.load_best_model_at_end) need_evaluation("load_best_model_at_end");
  if (s.early_stopping_patience) need_evaluation("early_stopping_patience");
  if (s.save_strategy == SaveStrategy::best) need_evaluation("save_strategy");
  if (s.early_stopping_threshold > 0 && !s.early_stopping_patience)
    throw UsageError("{} is for early stopping: give {}", Setting{"early_stopping_threshold"},
                     Setting{"early_stopping_patience"});
  if (!s.load_best_model_at_end || s.save_strategy == SaveStrategy::best) return;
  const bool both_by_step = s.eval_strategy == IntervalStrategy::steps && s.save_strategy == SaveStrategy::steps;
  if (field_text(s.save_strategy) != field_text(s.eval_strategy) || !saves_at_end(s))
    throw UsageError("{}: {} is {}{} and {} is {}, each checkpoint needs an evaluation: give both the same value",
                     Setting{"load_best_model_at_end"}, Setting{"save_strategy"}, field_text(s.save_strategy),
                     both_by_step ? " with save_steps 0" : "", Setting{"eval_strategy"}, field_text(s.eval_strategy));
  if (!both_by_step || !s.save_steps || !s.eval_steps) return;
  const double evaluations = *s.save_steps / *s.eval_steps;
  const bool same_unit = (*s.save_steps < 1) == (*s.eval_steps < 1);
  if (!same_unit || std::abs(evaluations - std::round(evaluations)) > 1e-6)
    throw UsageError("{}: {} is {}, it must be a multiple of {} {}, so that each checkpoint has an evaluation",
                     Setting{"load_best_model_at_end"}, Setting{"save_steps"}, *s.save_steps, Setting{"eval_steps"},
                     *s.eval_steps);
}

}  // namespace detail

MODERNGPT2_INLINE void validate(const TrainingSettings& s) {
  describe(s, [](const auto& member, const Field& field) { check_bounds(member, field); });
  if (s.output_dir.empty()) throw UsageError("{} is empty, it must name a folder", Setting{"output_dir"});
  constexpr double most_sequences = 1e15;  // products of steps and sequences stay far from overflow
  const double sequences =
      double(s.per_device_train_batch_size) * double(s.gradient_accumulation_steps) * double(s.world_size);
  if (sequences > most_sequences)
    throw UsageError("{} {} times {} {} times {} processes is {} sequences a step, it must be at most {}",
                     Setting{"per_device_train_batch_size"}, s.per_device_train_batch_size,
                     Setting{"gradient_accumulation_steps"}, s.gradient_accumulation_steps, s.world_size, sequences,
                     most_sequences);
  if (const double steps = s.warmup_steps.value_or(0); steps > 1e15 || (steps >= 1 && steps != std::floor(steps)))
    throw UsageError("{} is {}, it must be a whole number up to 1e15, or a fraction of all steps below 1",
                     Setting{"warmup_steps"}, steps);
  if (s.cuda_graph && s.world_size > 1)
    throw UsageError("{} is for one process, {} is {}: several processes exchange gradients within a step",
                     Setting{"cuda_graph"}, Setting{"world_size"}, s.world_size);
  if (s.on_transient_error == TransientErrorAction::go_on && s.verify_steps == 0)
    throw UsageError("{} is continue, but {} is 0: no error is detected. Set {} to 100, for example",
                     Setting{"on_transient_error"}, Setting{"verify_steps"}, Setting{"verify_steps"});
  detail::validate_events(s);
  (void)LossScale(s.loss_scaling);
  (void)make_schedule(s, std::max<std::int64_t>(s.max_steps, 1));
}

}  // namespace moderngpt2

#endif
