#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <utility>

#include "moderngpt2/backend/pass_memory.hpp"
#include "moderngpt2/core/clock.hpp"
#include "moderngpt2/core/error.hpp"
#include "moderngpt2/core/stop.hpp"
#include "moderngpt2/distributed/agreement.hpp"
#include "moderngpt2/distributed/communicator.hpp"
#include "moderngpt2/io/folder.hpp"
#include "moderngpt2/model/activations.hpp"
#include "moderngpt2/training/best_checkpoint.hpp"
#include "moderngpt2/training/check_training.hpp"
#include "moderngpt2/training/checkpoint/checkpoint.hpp"
#include "moderngpt2/training/evaluation.hpp"
#include "moderngpt2/training/event_schedule.hpp"
#include "moderngpt2/training/hooks.hpp"
#include "moderngpt2/training/language_modelling.hpp"
#include "moderngpt2/training/meter.hpp"
#include "moderngpt2/training/model_optimizer.hpp"
#include "moderngpt2/training/run_control.hpp"
#include "moderngpt2/training/run_events.hpp"
#include "moderngpt2/training/run_log.hpp"
#include "moderngpt2/training/settings.hpp"
#include "moderngpt2/training/state.hpp"
#include "moderngpt2/training/time_limit.hpp"
#include "moderngpt2/training/training_step.hpp"

namespace moderngpt2 {

/// Trains a model: steps with gradient accumulation and clipping, learning-rate schedule, logs, evaluation,
/// checkpoints. Task: data and metrics, LanguageModelling by default; training/tasks/ has the tasks of the other heads.
/// O: the optimizer. On the CPU, a run that is stopped and resumed gives results that are bit-identical to those of an
/// uninterrupted run.
template <class M, class Task = LanguageModelling, OptimizerFor<M> O = AdamW<M>>
class Trainer {
 public:
  using Batch = typename Task::Batch;
  using Splits = typename Task::Splits;

  /// Validates the settings, then allocates all memory that steps need; writes no file. Throws an Error that names a
  /// setting that is out of range or does not fit the model, the data or the ranks. The model, the data and the ranks
  /// must outlive the trainer. `companions`: files that saved models get beside the weights; {}: the model's config
  /// only. `ranks`: settings.world_size ranks that train one model, built with granule
  /// distributed::buffer_granule(world_size); null: a single rank. `device_ranks`: the same ranks as a communicator of
  /// the device's memory, if the model is on a device.
  Trainer(M& model, const Splits& data, ModelCompanions companions, TrainingSettings settings, TrainingHooks hooks = {},
          distributed::CommunicatorBase* ranks = nullptr, distributed::CommunicatorBase* device_ranks = nullptr)
      : Trainer(O((validate(settings), settings)), model, data, std::move(companions), settings, std::move(hooks),
                ranks, device_ranks) {}
  /// The trainer refers to the data: a temporary would be gone before the first step.
  Trainer(M& model, const Splits&& data, ModelCompanions companions, TrainingSettings settings,
          TrainingHooks hooks = {}, distributed::CommunicatorBase* ranks = nullptr,
          distributed::CommunicatorBase* device_ranks = nullptr) = delete;
  Trainer(O optimizer, M& model, const Splits&& data, ModelCompanions companions, TrainingSettings settings,
          TrainingHooks hooks = {}, distributed::CommunicatorBase* ranks = nullptr,
          distributed::CommunicatorBase* device_ranks = nullptr) = delete;
  /// Trains with an instance of an optimizer, which may have hyperparameters that are not in TrainingSettings.
  Trainer(O optimizer, M& model, const Splits& data, ModelCompanions companions, TrainingSettings settings,
          TrainingHooks hooks = {}, distributed::CommunicatorBase* ranks = nullptr,
          distributed::CommunicatorBase* device_ranks = nullptr)
      : model_(model),
        data_(data),
        companions_(std::move(companions)),
        settings_((check_training<Task>(model, data, settings, ranks), std::move(settings))),
        hooks_(std::move(hooks)),
        ranks_(distributed::ranks_or_single(ranks)),
        step_(model, data, settings_, hooks_, std::move(optimizer), ranks_, device_ranks) {
    const std::int64_t eval_rows = std::min<std::int64_t>(data_.eval.size(), settings_.per_device_eval_batch_size);
    PassSize size =
        model.layers().pass_size(int(std::max(step_.micro_batch(), eval_rows)) * Batch::sequences_of(data.train),
                                 std::max(time(), data_.eval.block_size()));
    size.queued = settings_.queued_passes();
    reserve<typename M::T>(model.backend(), model.config(), size);
    if (eval_rows > 0)
      evaluation_.emplace(
          model_.workspace(int(eval_rows) * Batch::sequences_of(data.eval), data_.eval.block_size(), Mode::infer),
          Batch(data.eval, eval_rows, model_.config()));
    limit_.expect(M::parameter_count(model_.config()), double(data_.eval.size()) / double(settings_.global_batch()));
    state_.seed = settings_.seed;
    state_.blocks = data_.train.size();
    state_.block_size = time();
  }

  const TrainerState& state() const { return state_; }
  /// Optimizer of this rank's shard.
  const ModelOptimizer<M, O>& optimizer() const { return step_.optimizer().own(); }
  /// Number of the last step of the run.
  std::int64_t last_step() const {
    return moderngpt2::last_step(settings_, state_.blocks, state_.step, state_.position);
  }

  /// Initializes the model with random weights.
  void initialize(std::uint64_t seed) { fill(FreshWeights(model_.config(), seed)); }
  /// Loads the weights from a provider, such as FileWeights. Master weights keep a file's full precision.
  template <class P>
  void fill(P&& provider) {
    step_.optimizer().own().fill(model_, provider);
  }

  /// Resumes a run from a checkpoint. Throws an Error if number or length of its training blocks differ, or if it does
  /// not fit the model. Keeps the checkpoint's seed.
  void resume(const Checkpoint& checkpoint) {
    const TrainerState& s = checkpoint.state;
    if (s.blocks != data_.train.size() || s.block_size != time())
      throw Error("{} was trained on {} blocks of {} tokens, this data set has {} of {}: resume with the same data",
                  checkpoint.folder.string(), s.blocks, s.block_size, data_.train.size(), time());
    load_checkpoint(checkpoint, model_, step_.optimizer().own());
    state_ = s;
    resumed_from_ = checkpoint.folder;
    step_.resume_loss_scale(s);
    if (s.seed != settings_.seed) log_.say("using seed {} of the checkpoint, not {}", s.seed, settings_.seed);
    resumed_ = true;
  }

  /// Runs one optimizer step on the next batch; each rank computes a part of it. Allocates nothing once the data is in
  /// memory.
  StepReport step(const LearningRateSchedule& schedule) {
    const StepReport report = step_.run(state_, schedule);
    wait_for_updates();
    return report;
  }
  /// Waits until all weights have the values of the last step. Required before reading weights with several ranks;
  /// passes of the model wait by themselves.
  void wait_for_updates() { step_.optimizer().wait_for_updates(); }

  /// Trains to the last step, evaluates, writes a checkpoint, and writes the model to the output folder, which is made
  /// with its parents. A callback may end the run earlier (TrainingControl). If a signal or max_hours stops the run,
  /// also in its last evaluation, writes a checkpoint and returns the reason: the signal's number, or
  /// time_limit_reached; stop_status() is its exit status. Otherwise returns 0. Always runs at least one step. Throws
  /// an Error if training cannot continue.
  int run() {
    const std::int64_t last = last_step();
    events_.begin_run(last);
    if (events_.is_complete()) return finish_completed_run();
    const LearningRateSchedule schedule = make_schedule(settings_, last);
    open_log();
    if (ranks_.size() > 1) check_replicas("all must start from the same files");
    if (hooks_.on_train_begin) hooks_.on_train_begin(state_);
    Meter meter(step_.flops_per_token(), matmul_rate_);
    if (state_.step == 0 && settings_.eval_on_start) evaluate_and_sample();
    // A run that was stopped at an evaluation step has not evaluated yet. max_hours does not prevent it again.
    int reason = 0;
    if (resumed_ && evaluation_ && events_.due().evaluate && !log_.is_evaluated()) {
      const TimeLimit::Pause pause(limit_);
      if ((reason = evaluate_and_save(events_.due()))) return events_.stop_here(reason);
    }
    while (state_.step < last && !control_.agreed().should_training_stop) {
      const double begin = seconds_now();
      StepReport report = step_.run(state_, schedule);
      report.last_step = last;
      report.skipped = state_.skipped;
      meter.add(seconds_now() - begin, report.data_seconds, report.tokens);
      limit_.add_step(seconds_now() - begin);
      report.speed = meter.speed(last - report.step);
      if (hooks_.on_step) hooks_.on_step(report, control_.requests());
      if (!report.applied) events_.add_skipped(report, step_.loss_scale());
      if (report.usual_loss) log_.add_spike(report);
      const StepEvents due = events_.due();
      const auto log = [&] {
        log_.add(report, control_.requests());
        if (const auto note = meter.begin()) log_.say("{}", *note);
      };
      const bool is_logged = due.log || control_.requests().should_log;
      if (is_logged) log();
      events_.require_labels_so_far();
      control_.agree(limit_.is_over(events_.work_ahead(due)));
      if (control_.agreed().should_training_stop && !is_logged) log();
      reason = evaluate_and_save(due);
      if (reason && !events_.ends_here()) return events_.stop_here(reason);
      control_.end_step();
    }
    if (!events_.is_complete()) log_.say("a callback ended the run at step {} of {}", state_.step, last);
    save_final_model();
    log_.say("the model is in {}", settings_.output_dir.string());
    events_.say_end();
    if (hooks_.on_train_end) hooks_.on_train_end(state_);
    if (!lacks_evaluation()) return 0;
    events_.say_stopped("before the last evaluation", reason);
    return reason;
  }

  /// Writes the model, in full precision, and the companions into a folder, which is made with its parents (see
  /// io/model_folder.hpp), in the format moderngpt2 or gemma2. All ranks call it; rank 0 writes.
  void save_model(const std::filesystem::path& folder, ModelFormat format = ModelFormat::moderngpt2) {
    wait_for_updates();
    ModelCompanions companions = companions_;
    companions.format = format;
    save_trained_model(folder, model_, optimizer(), companions, ranks_);
  }

  /// Sets the speed of a matrix product alone (measure_matmul()), from which matmul_utilization is computed.
  void set_matmul_rate(MatmulRate rate) { matmul_rate_ = std::move(rate); }
  /// Sets the moment from which settings.max_hours counts, by seconds_now(): the trainer's construction by default.
  void set_start(double seconds) { limit_.set_start(seconds); }
  /// Sets the name of the TensorBoard log, stored in checkpoints so that a resumed run continues the log.
  void set_run_name(std::string name) { state_.run_name = std::move(name); }
  /// Sets what checkpoints record about the run's inputs. Call after resume(), which takes those of the checkpoint.
  void set_origin(RunOrigin origin) { state_.origin = std::move(origin); }

  /// Loss and metrics on the evaluation data; empty if the run was asked to stop meanwhile or its time is up. Throws an
  /// Error if there is no evaluation data.
  std::optional<Evaluation> evaluate() {
    if (!evaluation_) throw Error("the data set has no evaluation examples");
    typename Task::Scores scores(data_.eval, model_.config());
    std::optional<Evaluation> result = moderngpt2::evaluate(
        model_, evaluation_->first, evaluation_->second, data_.eval, settings_.per_device_eval_batch_size, scores,
        [&](std::int64_t done) {
          if (hooks_.on_evaluation_progress) hooks_.on_evaluation_progress(done, data_.eval.size());
          return control_.own_signal() == 0 && !limit_.is_over({});
        },
        &ranks_);
    if (result) result->step = state_.step;
    return result;
  }

 private:
  int time() const { return data_.train.block_size(); }
  bool is_first() const { return ranks_.rank() == 0; }

  /// Opens metrics.jsonl in the output folder, which is made if it does not exist.
  void open_log() {
    run_or_fail_together(ranks_, "metrics.jsonl", [&] {
      if (!is_first()) return;
      make_folder(settings_.output_dir);
      log_.open(settings_.output_dir, resumed_);
    });
    resumed_ = true;  // a further run() continues the log
  }

  /// Finishes a run that is resumed after its last step: repeats what a kill after the last save, or a signal before
  /// the last evaluation, may have prevented.
  int finish_completed_run() {
    log_.say("the run is complete: {}step {} of {}", state_.step < state_.max_steps ? "early stopping at " : "",
             state_.step, state_.max_steps);
    int reason = 0;
    if (lacks_evaluation()) {
      open_log();
      const TimeLimit::Pause pause(limit_);
      evaluate_and_sample();
      control_.agree(limit_.is_over({}));
      if (lacks_evaluation())
        reason = control_.stop_reason();
      else if (saves_at_end(settings_) || settings_.save_strategy == SaveStrategy::best)
        save();  // with the evaluation in its log, so that it is not repeated
    }
    save_final_model();
    const std::filesystem::path saved = checkpoint_path(settings_.output_dir, state_.step);
    if (is_first() && state_.skipped_in_a_row == 0 && std::filesystem::exists(saved))
      rotate_checkpoints(settings_.output_dir, settings_.save_total_limit, saved,
                         best_checkpoint_path(settings_.output_dir, state_));
    return reason;
  }

  void check_replicas(const char* hint = "its memory or the network is at fault: resume from the last checkpoint") {
    wait_for_updates();
    require_equal_replicas(model_, settings_, ranks_, hint);
  }

  /// Whether the evaluation after the last step is missing.
  bool lacks_evaluation() const { return evaluation_ && evaluates_at_end(settings_) && !log_.is_evaluated(); }

  /// Evaluates and saves after the current step, as due or requested. Returns the reason that ends the run (see run()),
  /// 0 if none.
  int evaluate_and_save(const StepEvents& due) {
    bool is_best = false;
    if (events_.wants_evaluation(due) && !control_.stop_reason()) {
      is_best = evaluate_and_sample();
      TimeLimit::Work ahead = events_.work_ahead(due);
      ahead.evaluations = 0;
      control_.agree(limit_.is_over(ahead));
    }
    const int reason = control_.stop_reason();
    if (events_.wants_replica_check()) check_replicas();
    if (events_.wants_save(due, is_best)) save();
    return reason;
  }
  /// Evaluates, if there is evaluation data or a callback asked for it, and generates the samples. Does neither if the
  /// run is asked to stop. Returns whether the evaluation is better than all before it.
  bool evaluate_and_sample() {
    const double begin = seconds_now();
    bool is_best = false;
    if (evaluation_ || control_.agreed().should_evaluate) {
      const std::optional<Evaluation> result = evaluate();
      if (!result) return false;
      log_.add(*result, control_.requests());
      is_best = events_.compare(*result);
      if (hooks_.on_evaluate) hooks_.on_evaluate(*result, control_.requests());
    }
    step_.optimizer().run_on_rank0([&] {
      if (hooks_.on_samples) hooks_.on_samples(state_.step);
    });
    limit_.add_evaluation(seconds_now() - begin);
    return is_best;
  }

  void save() {
    const double begin = seconds_now();
    wait_for_updates();
    require_finite_weights(step_.optimizer(), ranks_, state_.step);
    log_.sync();
    events_.add_checkpoint();
    const std::filesystem::path folder =
        save_checkpoint(settings_.output_dir, model_, optimizer(), companions_, state_, settings_, ranks_);
    log_.say("saved {}", folder.string());
    if (hooks_.on_save) hooks_.on_save(folder, control_.requests());
    limit_.add_save(seconds_now() - begin);
  }

  void save_final_model() {
    if (settings_.load_best_model_at_end) {
      wait_for_updates();
      log_.say("{}", load_best_weights(state_, settings_, resumed_from_, model_, step_.optimizer().own(), ranks_));
    }
    const SaveFormat format = settings_.save_format;
    save_model(settings_.output_dir, format == SaveFormat::gemma2 ? ModelFormat::gemma2 : ModelFormat::moderngpt2);
    if (format == SaveFormat::both) save_model(settings_.output_dir / "gemma2", ModelFormat::gemma2);
    if (hooks_.on_save) hooks_.on_save(settings_.output_dir, control_.requests());
  }

  M& model_;
  const Splits& data_;
  ModelCompanions companions_;
  TrainingSettings settings_;
  TrainingHooks hooks_;
  distributed::CommunicatorBase& ranks_;
  TrainingStep<M, Task, O> step_;
  std::optional<std::pair<typename M::Work, Batch>> evaluation_;
  TrainerState state_;
  RunLog log_{state_, hooks_};
  bool resumed_ = false;
  std::filesystem::path resumed_from_;  // folder of the checkpoint; empty: none
  RunControl control_{hooks_, ranks_};
  TimeLimit limit_{settings_.max_hours, seconds_now()};
  RunEvents events_{settings_, state_, control_, log_, ranks_};
  MatmulRate matmul_rate_;
};

}  // namespace moderngpt2
