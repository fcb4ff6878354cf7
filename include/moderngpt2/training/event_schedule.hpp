#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <optional>
#include <string>

#include <fmt/format.h>

#include "moderngpt2/core/separate_compilation.hpp"
#include "moderngpt2/training/best_state.hpp"
#include "moderngpt2/training/event_settings.hpp"
#include "moderngpt2/training/settings.hpp"

// Steps of a run after which it logs, evaluates and saves.
namespace moderngpt2 {

/// Optimizer steps between two log lines, evaluations and checkpoints; 0: none, or another strategy than `steps`.
struct StepIntervals {
  std::int64_t logging = 0, eval = 0, save = 0;

  bool operator==(const StepIntervals&) const = default;
};

/// Intervals of a run of `last_step` steps: the settings, where a value below 1 is a fraction of all steps, rounded up;
/// by default a twentieth of the run, rounded down, at least 1 and at most 500, 500 and 5000. With
/// load_best_model_at_end, defaults and fractions are chosen so that save_steps is a multiple of eval_steps.
StepIntervals step_intervals(const TrainingSettings& s, std::int64_t last_step);

/// Place of a step in a run.
struct StepPlace {
  std::int64_t step = 0;    ///< counts from 1; 0: before the first step, which has no events
  double epoch = 0;         ///< completed epochs
  bool ends_epoch = false;  ///< the step used the last examples of an epoch
  bool ends_run = false;    ///< last step, or a callback ends the run here
};

/// Events after a step that follow from the settings alone. Checkpoints of SaveStrategy::best depend on an evaluation.
struct StepEvents {
  bool log = false, evaluate = false, save = false;

  bool operator==(const StepEvents&) const = default;
};

/// Events after a step: those of Hugging Face's DefaultFlowCallback, and a log line and an evaluation after the last
/// step.
StepEvents events_after(const TrainingSettings& s, const StepIntervals& intervals, const StepPlace& at);

/// Maximum number of checkpoints that a run of `last_step` steps writes by its settings.
std::int64_t most_saves(const TrainingSettings& s, std::int64_t last_step, std::int64_t steps_per_epoch);

/// Whether a run evaluates after its last step, if there is evaluation data.
inline bool evaluates_at_end(const TrainingSettings& s) {
  return s.eval_strategy != IntervalStrategy::no &&
         (s.eval_strategy != IntervalStrategy::steps || s.eval_steps.value_or(1) > 0);
}
/// Whether a run writes a checkpoint after its last step in any case.
inline bool saves_at_end(const TrainingSettings& s) {
  return s.save_strategy == SaveStrategy::epoch ||
         (s.save_strategy == SaveStrategy::steps && s.save_steps.value_or(1) > 0);
}

/// Description such as "log every 5 steps; evaluation every 5 steps and at the end; checkpoint every 5 steps".
std::string events_text(const TrainingSettings& s, const StepIntervals& intervals);

}  // namespace moderngpt2

#ifndef MODERNGPT2_DECLARE_RUNS

namespace moderngpt2 {

MODERNGPT2_INLINE StepIntervals step_intervals(const TrainingSettings& s, std::int64_t last_step) {
  const auto share = [&](std::int64_t most) { return std::clamp<std::int64_t>(last_step / 20, 1, most); };
  const auto interval = [&](const std::optional<double>& steps, std::int64_t most) {
    if (!steps) return share(most);
    return static_cast<std::int64_t>(*steps < 1 ? std::ceil(*steps * static_cast<double>(last_step)) : *steps);
  };
  const bool evaluates = s.eval_strategy == IntervalStrategy::steps, saves = s.save_strategy == SaveStrategy::steps;
  StepIntervals intervals;
  if (s.logging_strategy == IntervalStrategy::steps) intervals.logging = interval(s.logging_steps, most_logging_steps);
  if (evaluates) intervals.eval = interval(s.eval_steps, most_eval_steps);
  if (saves) intervals.save = interval(s.save_steps, most_save_steps);
  if (s.load_best_model_at_end && evaluates && saves) {
    if (!s.save_steps)
      intervals.save = intervals.eval;
    else if (!s.eval_steps && intervals.eval > 0 && intervals.save % intervals.eval != 0)
      intervals.eval = intervals.save;
    else if (s.eval_steps > 0.0 && s.eval_steps < 1.0)  // validate(): both are fractions, which are rounded apart
      intervals.save = intervals.eval * std::max<std::int64_t>(std::llround(*s.save_steps / *s.eval_steps), 1);
  }
  return intervals;
}

MODERNGPT2_INLINE StepEvents events_after(const TrainingSettings& s, const StepIntervals& intervals,
                                          const StepPlace& at) {
  const auto is_due = [&](std::int64_t interval) { return interval > 0 && at.step % interval == 0; };
  if (at.step == 0) return {};
  // The end of a run is the end of its last, perhaps incomplete epoch.
  const bool ends_epoch = at.ends_epoch || at.ends_run;
  StepEvents events;
  events.log = is_due(intervals.logging) || (s.logging_first_step && at.step == 1) ||
               (s.logging_strategy == IntervalStrategy::epoch && ends_epoch) || at.ends_run;
  events.evaluate = (is_due(intervals.eval) && s.eval_delay <= double(at.step)) ||
                    (s.eval_strategy == IntervalStrategy::epoch && ends_epoch && s.eval_delay <= at.epoch) ||
                    (at.ends_run && evaluates_at_end(s));
  events.save = is_due(intervals.save) || (s.save_strategy == SaveStrategy::epoch && ends_epoch) ||
                (at.ends_run && saves_at_end(s));
  return events;
}

MODERNGPT2_INLINE std::int64_t most_saves(const TrainingSettings& s, std::int64_t last_step,
                                          std::int64_t steps_per_epoch) {
  const StepIntervals intervals = step_intervals(s, last_step);
  const auto every = [&](std::int64_t steps) { return steps > 0 ? std::max<std::int64_t>(last_step, 0) / steps : 0; };
  switch (s.save_strategy) {
    case SaveStrategy::no:
      break;
    case SaveStrategy::steps:
      return every(intervals.save) + 1;
    case SaveStrategy::epoch:
      return every(steps_per_epoch) + 1;
    case SaveStrategy::best:
      return every(intervals.eval > 0 ? intervals.eval : steps_per_epoch) + 1;
  }
  return 1;  // if a signal stops the run
}

MODERNGPT2_INLINE std::string events_text(const TrainingSettings& s, const StepIntervals& intervals) {
  const auto every = [](std::int64_t steps) {
    return steps == 1 ? std::string("every step") : fmt::format("every {} steps", steps);
  };
  const auto when = [&](bool by_epoch, std::int64_t steps, const char* never) {
    return by_epoch ? std::string("every epoch") : steps > 0 ? every(steps) : std::string(never);
  };
  std::string text = "log ";
  text += when(s.logging_strategy == IntervalStrategy::epoch, intervals.logging, "at the end");
  text += evaluates_at_end(s) ? fmt::format("; evaluation {}{} and at the end", s.eval_on_start ? "at the start, " : "",
                                            when(s.eval_strategy == IntervalStrategy::epoch, intervals.eval, "never"))
                              : std::string("; no evaluation");
  text += "; ";
  if (s.save_strategy == SaveStrategy::best)
    text += "checkpoint after each new best evaluation";
  else if (!saves_at_end(s))
    text += "no checkpoint";
  else
    text += fmt::format("checkpoint {} and at the end",
                        when(s.save_strategy == SaveStrategy::epoch, intervals.save, "never"));
  if (s.save_only_model) text += ", without optimizer state";
  if (follows_metric(s))
    text += fmt::format("; best by {}, {} is better{}", metric_name(s), greater_is_better(s) ? "greater" : "less",
                        s.load_best_model_at_end ? ", and the final model" : "");
  if (s.early_stopping_patience)
    text += fmt::format("; stops after {} evaluations without improvement", *s.early_stopping_patience);
  return text;
}

}  // namespace moderngpt2

#endif
