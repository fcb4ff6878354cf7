#pragma once

#include <array>
#include <cstdint>
#include <string_view>
#include <utility>

#include "moderngpt2/config/field.hpp"

// Settings for logging, evaluation, checkpoints and early stopping: words of strategies and rows of describe().
namespace moderngpt2 {

/// When log lines and evaluations happen: never, every so many optimizer steps, or at the end of each epoch.
enum class IntervalStrategy : unsigned char { no, steps, epoch };

/// When checkpoints are written: never, every so many optimizer steps, at the end of each epoch, or after each
/// evaluation that is better than all before it.
enum class SaveStrategy : unsigned char { no, steps, epoch, best };

/// Words of the values on a command line.
constexpr auto words_of(IntervalStrategy) {
  using Word = std::pair<std::string_view, IntervalStrategy>;
  return std::array{Word("no", IntervalStrategy::no), Word("steps", IntervalStrategy::steps),
                    Word("epoch", IntervalStrategy::epoch)};
}
/// Words of the values on a command line.
constexpr auto words_of(SaveStrategy) {
  using Word = std::pair<std::string_view, SaveStrategy>;
  return std::array{Word("no", SaveStrategy::no), Word("steps", SaveStrategy::steps),
                    Word("epoch", SaveStrategy::epoch), Word("best", SaveStrategy::best)};
}

/// Upper bounds of the default logging_steps, eval_steps and save_steps; see step_intervals().
inline constexpr std::int64_t most_logging_steps = 500, most_eval_steps = 500, most_save_steps = 5000;

namespace detail {

/// Rows of describe(TrainingSettings) for log lines, evaluations, checkpoints and early stopping.
template <class S, class Visitor>
void describe_events(S& s, Visitor&& visit) {
  visit(s.logging_strategy, {.name = "logging_strategy",
                             .help = "When to write a log line: every --logging_steps steps, at the end of each epoch, "
                                     "or only after the last step (no). The last step is always logged.",
                             .section = "Run"});
  visit(s.logging_steps,
        {.name = "logging_steps",
         .help = "Optimizer steps between two log lines; below 1: a fraction of all steps. 0: only the last step.",
         .section = "Run",
         .at_least = 0,
         .default_text = "a twentieth of the steps, at least 1 and at most 500"});
  visit(s.logging_first_step, {.name = "logging_first_step", .help = "Also log the first step.", .section = "Run"});
  visit(s.eval_strategy, {.name = "eval_strategy",
                          .help = "When to evaluate (requires evaluation data): every --eval_steps steps or at the end "
                                  "of each epoch, and after the last step; or never (no).",
                          .section = "Run",
                          .aliases = {"evaluation_strategy"}});
  visit(s.eval_steps,
        {.name = "eval_steps",
         .help = "Optimizer steps between two evaluations; below 1: a fraction of all steps. The last step is always "
                 "evaluated. 0: no evaluation.",
         .section = "Run",
         .at_least = 0,
         .default_text = "a twentieth of the steps, at least 1 and at most 500"});
  visit(s.eval_delay, {.name = "eval_delay",
                       .help = "Steps (epochs with --eval_strategy epoch) before the first scheduled evaluation. The "
                               "last step is evaluated in any case.",
                       .section = "Run",
                       .at_least = 0});
  visit(s.eval_on_start, {.name = "eval_on_start", .help = "Also evaluate before the first step.", .section = "Run"});
  visit(s.save_strategy,
        {.name = "save_strategy",
         .help = "When to write a checkpoint: every --save_steps steps or at the end of each epoch, and after the last "
                 "step; after each evaluation with a new best metric (best); or only when a signal or the time limit "
                 "stops the run (no). The final model is always written.",
         .section = "Run"});
  visit(s.save_steps,
        {.name = "save_steps",
         .help = "Optimizer steps between two checkpoints; below 1: a fraction of all steps. The last step "
                 "always has one. 0: no checkpoint, unless a signal or the time limit stops the run.",
         .section = "Run",
         .at_least = 0,
         .default_text = "a twentieth of the steps, at least 1 and at most 5000"});
  visit(s.save_total_limit,
        {.name = "save_total_limit",
         .help = "Maximum number of checkpoints. Older ones are deleted, except the best one. 0: no limit.",
         .section = "Run",
         .at_least = 0,
         .same_on_ranks = false});
  visit(s.save_only_model,
        {.name = "save_only_model",
         .help =
             "Write checkpoints without the optimizer state. They are smaller, but a run cannot be resumed from them.",
         .section = "Run"});
  visit(s.save_format,
        {.name = "save_format",
         .help =
             "Format of the final model: moderngpt2; gemma2, which Transformers and vLLM load without custom code; or "
             "both, with gemma2 in the subfolder gemma2. Checkpoints always have the format moderngpt2.",
         .section = "Run"});
  visit(s.load_best_model_at_end,
        {.name = "load_best_model_at_end",
         .help = "Use the weights of the best checkpoint as the final model. Each checkpoint needs an evaluation: the "
                 "strategies for saving and evaluation must be equal (or best for saving), and the steps between "
                 "checkpoints a multiple of those between evaluations (default: equal).",
         .section = "Run"});
  visit(s.metric_for_best_model, {.name = "metric_for_best_model",
                                  .help = "Evaluation metric that selects the best checkpoint, such as loss, "
                                          "perplexity, accuracy or f1. The prefix eval_ is optional.",
                                  .section = "Run",
                                  .default_text = "loss"});
  visit(s.greater_is_better, {.name = "greater_is_better",
                              .help = "A greater value of --metric_for_best_model is better.",
                              .section = "Run",
                              .default_text = "off for loss, perplexity and mse, else on",
                              .negatable = true});
  visit(s.early_stopping_patience,
        {.name = "early_stopping_patience",
         .help = "Number of consecutive evaluations without an improvement of the metric after which the run ends.",
         .section = "Run",
         .at_least = 1,
         .default_text = "no early stopping"});
  visit(s.early_stopping_threshold,
        {.name = "early_stopping_threshold",
         .help = "Change of the metric that must be exceeded to count as an improvement in early stopping.",
         .section = "Run",
         .at_least = 0});
}

}  // namespace detail

}  // namespace moderngpt2
