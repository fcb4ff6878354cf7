#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include <fmt/format.h>

#include "moderngpt2/core/error.hpp"
#include "moderngpt2/core/stop.hpp"
#include "moderngpt2/distributed/agreement.hpp"
#include "moderngpt2/distributed/communicator.hpp"
#include "moderngpt2/training/best_checkpoint.hpp"
#include "moderngpt2/training/checkpoint/checkpoint_folder.hpp"
#include "moderngpt2/training/event_schedule.hpp"
#include "moderngpt2/training/hooks.hpp"
#include "moderngpt2/training/run_control.hpp"
#include "moderngpt2/training/run_log.hpp"
#include "moderngpt2/training/settings.hpp"
#include "moderngpt2/training/state.hpp"
#include "moderngpt2/training/time_limit.hpp"

namespace moderngpt2 {

/// Maximum number of consecutive steps whose loss or gradients are not finite. The run then ends with an Error.
inline constexpr int most_skipped_steps = 10;

/// Events of a run after each step: by the settings, by requests of callbacks and signals, and by its evaluations.
/// Errors end all ranks. All references must outlive it. Threads: one at a time.
class RunEvents {
 public:
  RunEvents(const TrainingSettings& settings, TrainerState& state, RunControl& control, RunLog& log,
            distributed::CommunicatorBase& ranks)
      : settings_(settings), state_(state), control_(control), log_(log), ranks_(ranks) {}

  /// Begins or continues a run to its last step.
  void begin_run(std::int64_t last_step) {
    state_.max_steps = last_step;
    intervals_ = step_intervals(settings_, last_step);
    // Values of another metric cannot be compared.
    if (const std::string name = metric_name(settings_); follows_metric(settings_) && state_.best.name != name)
      state_.best = {.name = name};
    control_.begin_run();
  }

  /// Events after the current step that the settings ask for.
  StepEvents due() const {
    return events_after(settings_, intervals_,
                        {.step = state_.step,
                         .epoch = state_.epoch(),
                         .ends_epoch = ends_epoch(),
                         .ends_run = state_.step >= state_.max_steps});
  }
  /// Whether the run has reached its last step or was stopped early.
  bool is_complete() const { return state_.step >= state_.max_steps || stops_early(state_.best, settings_); }
  /// Whether the run ends with the current step.
  bool ends_here() const { return state_.step >= state_.max_steps || control_.agreed().should_training_stop; }
  bool wants_evaluation(const StepEvents& due) const {
    return due.evaluate || control_.agreed().should_evaluate || (ends_here() && evaluates_at_end(settings_));
  }
  /// Whether to save after the current step, which `is_best` if its evaluation is better than all before.
  bool wants_save(const StepEvents& due, bool is_best) const {
    const bool scheduled = due.save || (is_best && settings_.save_strategy == SaveStrategy::best);
    // Not after a skipped step: rotation would delete the checkpoints from before.
    return (scheduled && state_.skipped_in_a_row == 0) || (ends_here() && saves_at_end(settings_)) ||
           control_.agreed().should_save || control_.stop_reason() != 0;
  }
  bool wants_replica_check() const {
    const std::int64_t steps = settings_.check_replicas_steps;
    return ranks_.size() > 1 && steps > 0 && state_.step % steps == 0;
  }

  /// Work until the run can stop again: the next step, what is due after the current one, and a checkpoint.
  TimeLimit::Work work_ahead(const StepEvents& due) const {
    const bool evaluates = wants_evaluation(due);
    const bool saves = due.save || (evaluates && settings_.save_strategy == SaveStrategy::best);
    return {.steps = ends_here() ? 0 : 1, .evaluations = evaluates ? 1 : 0, .saves = saves ? 2 : 1};
  }

  /// Compares an evaluation after the current step with those before, and requests the end of the run if early stopping
  /// asks for it. Returns whether it is better than all before; false if the settings name no metric.
  bool compare(const Evaluation& evaluation) {
    // The evaluation before the first step does not count, as in Transformers.
    if (state_.step == 0 || !follows_metric(settings_)) return false;
    evaluation_ = evaluation;
    const bool is_best = add_evaluation(state_.best, settings_, evaluation, state_.step);
    if (stops_early(state_.best, settings_)) {
      control_.requests().should_training_stop = true;
      log_.say("{}", early_stop_text(state_, settings_));
    }
    return is_best;
  }
  /// Records that a checkpoint of the current step is about to be written.
  void add_checkpoint() {
    if (evaluation_ && evaluation_->step == state_.step) add_saved(state_.best, settings_, *evaluation_, state_.step);
  }

  /// Logs a step that was skipped. Throws an Error after most_skipped_steps in a row. `loss_scale`: of the next step.
  void add_skipped(const StepReport& report, double loss_scale) {
    log_.add_skipped(report, loss_scale);
    if (state_.skipped_in_a_row < most_skipped_steps) return;
    log_.add(report, control_.requests());
    fail_together(ranks_, Error("loss or gradients were not finite in {} steps in a row, up to step {}: resume from a "
                                "checkpoint with a smaller {}; earlier checkpoints are unchanged",
                                state_.skipped_in_a_row, report.step, Setting{"learning_rate"}));
  }
  /// Throws an Error at the end of an epoch or of the run if none of its steps so far had a label.
  void require_labels_so_far() const {
    if (state_.unlabelled < state_.step || !(ends_epoch() || state_.step >= state_.max_steps)) return;
    fail_together(ranks_, Error("the training data has no labels: all {} steps were skipped, and the model has learned "
                                "nothing. Check the attention mask, padding and labels of the data",
                                state_.step));
  }

  /// Logs that a signal or the time limit (`reason`) stopped the run, and how to continue it.
  void say_stopped(const std::string& where, int reason) const {
    const std::string by = stop_name(reason);
    if (settings_.save_only_model)
      log_.say("stopped {} by {}: {} keeps no optimizer state; {} {} starts a new run from the weights", where, by,
               Setting{"save_only_model"}, Setting{"model_path"},
               checkpoint_path(settings_.output_dir, state_.step).string());
    else
      log_.say("stopped {} by {}: continue with {} latest", where, by, Setting{"resume_from_checkpoint"});
  }
  /// Logs that a signal or the time limit stopped the run at the current step. Returns `reason`.
  int stop_here(int reason) const {
    say_stopped(fmt::format("at step {} of {}", state_.step, state_.max_steps), reason);
    return reason;
  }
  /// Logs the summary of a run that has ended.
  void say_end() const {
    if (ranks_.size() > 1)
      log_.say("{} processes, {:.1f} MiB sent by each", ranks_.size(), double(ranks_.bytes_moved()) / (1 << 20));
    if (state_.skipped > 0)
      log_.say("{} steps of {} were skipped: loss or gradients not finite", state_.skipped, state_.step);
    if (state_.unlabelled > 0)
      log_.say("{} steps of {} were skipped: their batches have no labels", state_.unlabelled, state_.step);
  }

 private:
  bool ends_epoch() const { return state_.position.samples == 0; }

  const TrainingSettings& settings_;
  TrainerState& state_;
  RunControl& control_;
  RunLog& log_;
  distributed::CommunicatorBase& ranks_;
  StepIntervals intervals_;
  std::optional<Evaluation> evaluation_;  // the last one that was compared
};

}  // namespace moderngpt2
