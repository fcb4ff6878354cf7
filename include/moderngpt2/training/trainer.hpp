#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <span>
#include <string>
#include <type_traits>
#include <utility>

#include <fmt/format.h>

#include "moderngpt2/backend/pass_memory.hpp"
#include "moderngpt2/backend/step_graph.hpp"
#include "moderngpt2/config/flops.hpp"
#include "moderngpt2/core/clock.hpp"
#include "moderngpt2/core/error.hpp"
#include "moderngpt2/distributed/agreement.hpp"
#include "moderngpt2/distributed/device_ranks.hpp"
#include "moderngpt2/distributed/single.hpp"
#include "moderngpt2/model/activations.hpp"
#include "moderngpt2/training/batch_loader.hpp"
#include "moderngpt2/training/checkpoint/checkpoint.hpp"
#include "moderngpt2/training/evaluation.hpp"
#include "moderngpt2/training/hooks.hpp"
#include "moderngpt2/training/language_modelling.hpp"
#include "moderngpt2/training/loss_scale.hpp"
#include "moderngpt2/training/loss_spikes.hpp"
#include "moderngpt2/training/meter.hpp"
#include "moderngpt2/training/model_optimizer.hpp"
#include "moderngpt2/training/run_log.hpp"
#include "moderngpt2/training/settings.hpp"
#include "moderngpt2/training/state.hpp"
#include "moderngpt2/training/zero_optimizer.hpp"

namespace moderngpt2 {

/// Steps with loss or gradients that are not finite, in a row, after which a run gives up.
inline constexpr int most_skipped_steps = 10;

/// Trains a model: accumulation, clipping, schedule, logs, evaluation, checkpoints. Task says on what: blocks of tokens
/// or the examples of another head. On the CPU a run that is stopped and resumed computes what an uninterrupted one
/// does, bit for bit.
template <class M, class Task = LanguageModelling, OptimizerFor<M> O = AdamW<M>>
class Trainer {
 public:
  using Batch = typename Task::Batch;
  using Splits = typename Task::Splits;

  /// All memory that steps need is allocated here. The model and the data set must outlive the trainer, and so must the
  /// `ranks` that train one model together, settings.world_size of them; the model's granule is then
  /// distributed::buffer_granule() of their number. Where the model lies in memory that is not the host's, the same
  /// ranks exchange gradients and weights by `device_ranks`, which reach that memory.
  Trainer(M& model, const Splits& data, ModelCompanions companions, TrainingSettings settings, TrainingHooks hooks = {},
          distributed::CommunicatorBase* ranks = nullptr, distributed::CommunicatorBase* device_ranks = nullptr)
      : Trainer(O(settings), model, data, std::move(companions), settings, std::move(hooks), ranks, device_ranks) {}
  /// Trains with an optimizer that has hyperparameters of its own.
  Trainer(O optimizer, M& model, const Splits& data, ModelCompanions companions, TrainingSettings settings,
          TrainingHooks hooks = {}, distributed::CommunicatorBase* ranks = nullptr,
          distributed::CommunicatorBase* device_ranks = nullptr)
      : model_(model),
        data_(data),
        companions_(std::move(companions)),
        settings_(std::move(settings)),
        hooks_(std::move(hooks)),
        ranks_(distributed::ranks_or_alone(ranks)),
        optimizer_(model, settings_, std::move(optimizer), ranks_,
                   distributed::ranks_of_memory<typename M::Backend>(ranks_, device_ranks)),
        work_(model.workspace(int(micro_batch()) * Batch::sequences_of(data.train), time(),
                              settings_.gradient_checkpointing ? Mode::train_recompute : Mode::train)),
        batches_(data.train, Batch(data.train, most_rows(rows_at_most(settings_.global_batch())), model.config()),
                 settings_.dataloader_num_workers > 0) {
    if (settings_.cuda_graph && (ranks_.size() > 1 || !CapturesSteps<typename M::Backend>))
      throw Error("cuda_graph is for one process that trains on a GPU");
    const std::int64_t eval_rows = std::min<std::int64_t>(data_.eval.size(), settings_.per_device_eval_batch_size);
    PassSize size = model.layers().pass_size(int(std::max(micro_batch(), eval_rows)) * Batch::sequences_of(data.train),
                                             std::max(time(), data_.eval.block_size()));
    size.queued = settings_.queued_passes();
    reserve<typename M::T>(model.backend(), model.config(), size);
    if (eval_rows > 0)
      evaluation_.emplace(
          model_.workspace(int(eval_rows) * Batch::sequences_of(data.eval), data_.eval.block_size(), Mode::infer),
          Batch(data.eval, eval_rows, model_.config()));
    state_.seed = settings_.seed;
    state_.blocks = data_.train.size();
    state_.block_size = time();
  }

  const TrainerState& state() const { return state_; }
  /// Optimizer of this rank's shard.
  const ModelOptimizer<M, O>& optimizer() const { return optimizer_.own(); }
  std::int64_t last_step() const {
    return moderngpt2::last_step(settings_, state_.blocks, state_.step, state_.position);
  }

  /// Gives the model random weights.
  void initialize(std::uint64_t seed) { fill(FreshWeights(model_.config(), seed)); }
  /// Gives the model the weights of a provider, such as FileWeights. Master weights keep a file's full precision.
  template <class P>
  void fill(P&& provider) {
    optimizer_.own().fill(model_, provider);
  }

  /// Goes on where a checkpoint of the same data stands. Throws an Error for one of other data, or one that does not
  /// fit the model.
  void resume(const Checkpoint& checkpoint) {
    const TrainerState& s = checkpoint.state;
    if (s.blocks != data_.train.size() || s.block_size != time())
      throw Error("{} was trained on {} blocks of {} tokens, this data set has {} of {}: resume with the same data",
                  checkpoint.folder.string(), s.blocks, s.block_size, data_.train.size(), time());
    load_checkpoint(checkpoint, model_, optimizer_.own());
    state_ = s;
    if (scales_loss && s.loss_scale) loss_scale_.resume(*s.loss_scale);
    if (s.seed != settings_.seed) say("seed {} of the checkpoint holds, not {}", s.seed, settings_.seed);
    resumed_ = true;
  }

  /// One optimizer step on the next blocks, of which each rank takes its part. Nothing is allocated once the blocks are
  /// in memory.
  StepReport step(const LearningRateSchedule& schedule) {
    const StepReport report = take_step(schedule);
    wait_for_updates();
    return report;
  }
  /// For hooks that read the model's weights themselves while several ranks train: returns when all are of the last
  /// step. Passes of the model wait as they go on.
  void wait_for_updates() { optimizer_.wait_for_updates(); }

  /// Trains to the last step. Returns 0, or the signal that ended the run before; a checkpoint is written either way,
  /// and at the end the model is written to the output folder itself. Throws an Error where training cannot go on.
  int run() {
    const std::int64_t last = last_step();
    state_.max_steps = last;
    if (state_.step >= last) {
      say("step {} of {} is done already: nothing is left to train", state_.step, last);
      save_final_model();
      // What a kill right after the last save left undone.
      const std::filesystem::path saved = checkpoint_path(settings_.output_dir, state_.step);
      if (is_first() && state_.skipped_in_a_row == 0 && std::filesystem::exists(saved))
        rotate_checkpoints(settings_.output_dir, settings_.save_total_limit, saved);
      if (hooks_.on_saved) hooks_.on_saved();
      return 0;
    }
    const LearningRateSchedule schedule = make_schedule(settings_, last);
    all_or_none(ranks_, "metrics.jsonl", [&] {
      if (is_first()) log_.open(settings_.output_dir, resumed_);
    });
    if (ranks_.size() > 1) check_replicas("all must start from the same files");
    Meter meter(flops_per_token(), matmul_rate_);
    LossSpikes spikes;
    if (resumed_ && evaluation_ && look_due() && !log_.is_evaluated()) look();  // what a stop at this step left out
    while (state_.step < last) {
      const double begin = seconds_now();
      StepReport report = take_step(schedule);
      report.last_step = last;
      report.skipped = state_.skipped;
      meter.add(seconds_now() - begin, report.data_seconds, report.tokens);
      report.speed = meter.speed(last - report.step);
      if (hooks_.on_step) hooks_.on_step(report);
      if (!report.applied) tell_skipped(report);
      if (report.applied && spikes.add(report.loss))
        say("warning: step {}: loss {:.6g} stands out, its running mean is {:.6g}", report.step, report.loss,
            spikes.mean());
      if (state_.step % settings_.logging_steps == 0 || state_.step == last) log_.add(report), meter.begin();
      agree_to_stop();
      if ((look_due() || state_.step == last) && !stopped()) {
        look();
        agree_to_stop();
      }
      const int signal = stopped();
      const std::int64_t check = settings_.check_replicas_steps;
      if (ranks_.size() > 1 && check > 0 && state_.step % check == 0) check_replicas();
      // Not while steps are skipped: rotation would delete the states from before.
      const bool save_due = state_.step % settings_.save_steps == 0 && state_.skipped_in_a_row == 0;
      if (save_due || state_.step == last || signal) save();
      if (signal && state_.step < last) {
        say("stopped at step {} of {}: --resume_from_checkpoint latest goes on from there", state_.step, last);
        return signal;
      }
    }
    save_final_model();
    say("the model is in {}", settings_.output_dir.string());
    if (ranks_.size() > 1)
      say("{} processes, of which each sent {:.1f} MiB", ranks_.size(), double(ranks_.bytes_moved()) / (1 << 20));
    if (state_.skipped > 0) say("{} steps of {} were skipped: not finite", state_.skipped, last);
    return 0;
  }

  /// The speed of a matrix product alone (measure_matmul()), to compare that of training with.
  void set_matmul_rate(double flops_per_second) { matmul_rate_ = flops_per_second; }
  /// The name of the log that a resumed run is to go on with, kept in checkpoints.
  void set_run_name(std::string name) { state_.run_name = std::move(name); }

  /// The loss and scores on the held-out examples; nothing when the run is asked to stop meanwhile.
  std::optional<Evaluation> evaluate() {
    if (!evaluation_) throw Error("the data set has nothing to evaluate on");
    typename Task::Scores scores(data_.eval, model_.config());
    return moderngpt2::evaluate(
        model_, evaluation_->first, evaluation_->second, data_.eval, settings_.per_device_eval_batch_size, scores,
        [&](std::int64_t done) {
          if (hooks_.on_evaluation) hooks_.on_evaluation(done, data_.eval.size());
          return asked_to_stop() == 0;
        },
        &ranks_);
  }

 private:
  static constexpr bool scales_loss = std::is_same_v<typename M::T, f16>;

  int time() const { return data_.train.block_size(); }
  double loss_scale() const { return scales_loss ? loss_scale_.value() : 1.0; }
  double flops_per_token() const { return training_flops_per_token(model_.config(), time(), Task::predicts_tokens); }
  std::int64_t rows_at_most(std::int64_t rows) const { return std::min(rows, data_.train.size()); }
  std::int64_t micro_batch() const { return rows_at_most(settings_.per_device_train_batch_size); }
  /// Of a part of some rows, one for each rank, the largest.
  std::int64_t most_rows(std::int64_t rows) const { return (rows + ranks_.size() - 1) / ranks_.size(); }
  bool is_first() const { return ranks_.rank() == 0; }
  int asked_to_stop() const { return hooks_.stop ? hooks_.stop() : 0; }
  /// The signal that ends the run: what any rank was sent, once all agreed.
  int stopped() const { return ranks_.size() == 1 ? asked_to_stop() : stop_; }
  void agree_to_stop() {
    if (ranks_.size() > 1) stop_ = int(agree_on_largest(ranks_, asked_to_stop(), "signals to stop"));
  }

  /// Of the batch of a step, on all ranks.
  struct StepCounts {
    typename Batch::Divisors divisors{};
    std::int64_t valid = 0, tokens = 0;
  };

  /// A step after which new weights may be under way.
  StepReport take_step(const LearningRateSchedule& schedule) {
    const double begin = seconds_now();
    ranks_.set_step(state_.step + 1);
    const BatchPlace place = batch_at(state_.position), own = part_of(place);
    const Batch& batch = batches_.load(own, part_of(batch_at(position_after(place))));
    const double data_seconds = seconds_now() - begin;
    const StepCounts counts = count(batch);

    StepReport report{.step = state_.step + 1,
                      .learning_rate = schedule.at(state_.step),
                      .tokens = counts.tokens,
                      .data_seconds = data_seconds};
    if (scales_loss) report.loss_scale = loss_scale();
    double update_begin = 0;
    const auto queue = [&] {
      queue_passes(batch, place, own, counts);
      update_begin = seconds_now();
      optimizer_.end_passes(counts.valid > 0, loss_scale(), report.learning_rate);
    };
    if (settings_.cuda_graph)
      step_graph_.run(model_.backend(), {own.rows, batch.time(), batch.mask(0) != nullptr, counts.valid > 0}, queue);
    else
      queue();
    optimizer_.finish(counts.valid > 0, loss_scale(), report);
    span("update", update_begin);
    advance(report, place);
    return report;
  }

  /// Of this rank's part of a batch.
  void queue_passes(const Batch& batch, const BatchPlace& place, const BatchPlace& own, const StepCounts& counts) {
    optimizer_.begin_step();
    const auto on_ready = [this](int unit) { optimizer_.ready(unit); };
    const std::int64_t most = most_rows(place.rows);  // as many passes on every rank
    for (std::int64_t first = 0; first < most; first += settings_.per_device_train_batch_size) {
      optimizer_.begin_pass(first + settings_.per_device_train_batch_size >= most);
      const std::int64_t micro = std::min<std::int64_t>(settings_.per_device_train_batch_size, own.rows - first);
      if (micro > 0) {
        const double pass_begin = seconds_now();
        auto pass = pass_of<typename M::R>(batch, first, micro);
        pass.training = true, pass.loss_scale = typename M::R(loss_scale()), pass.seed = state_.seed,
        pass.step = std::uint64_t(state_.step);
        pass.first_sequence += (own.first - place.first) * batch.sequences();
        optimizer_.add(model_.loss_and_gradients(work_, batch.ids(first),
                                                 batch.head_labels(first, micro, counts.divisors),
                                                 optimizer_.gradients(), pass, on_ready));
        span("forward and backward", pass_begin);
      } else {
        model_.sit_out_loss_and_gradients(on_ready);
      }
      optimizer_.end_pass();
    }
  }

  template <class... Arguments>
  void say(fmt::format_string<Arguments...> format, Arguments&&... arguments) const {
    log_.say(format, std::forward<Arguments>(arguments)...);
  }

  void span(const char* what, double begin) const {
    if (hooks_.on_span) hooks_.on_span(what, begin, seconds_now());
  }

  BatchPlace batch_at(DataPosition at) const {
    const std::int64_t rows = std::min(settings_.global_batch(), state_.blocks - at.samples);
    return {state_.seed, at.epoch, at.samples, rows, at.samples, rows};
  }
  DataPosition position_after(const BatchPlace& batch) const {
    const std::int64_t samples = batch.first + batch.rows;
    return samples == state_.blocks ? DataPosition{batch.epoch + 1, 0} : DataPosition{batch.epoch, samples};
  }
  /// What of a batch this rank computes. The parts follow each other in the order of ranks.
  BatchPlace part_of(const BatchPlace& batch) const {
    const std::int64_t size = ranks_.size(), begin = batch.rows * ranks_.rank() / size;
    BatchPlace own = batch;
    own.first += begin;
    own.rows = batch.rows * (ranks_.rank() + 1) / size - begin;
    return own;
  }

  StepCounts count(const Batch& batch) {
    return sum_of_integers(ranks_, StepCounts{batch.divisors(), batch.valid(), batch.tokens()}, "labels");
  }

  void advance(StepReport& report, const BatchPlace& batch) {
    ++state_.step;
    state_.position = position_after(batch);
    state_.updates = optimizer_.own().updates;
    state_.tokens += report.tokens;
    state_.flops += double(report.tokens) * flops_per_token();
    state_.logged_loss_sum += report.loss;
    ++state_.logged_steps;
    const bool finite = std::isfinite(report.loss) && std::isfinite(report.grad_norm);
    state_.skipped += !finite;
    report.overflows = scales_loss && !finite && std::isfinite(report.loss) && loss_scale_.can_shrink();
    if (!report.overflows) state_.skipped_in_a_row = finite ? 0 : state_.skipped_in_a_row + 1;
    if constexpr (scales_loss) loss_scale_.update(!finite), state_.loss_scale = loss_scale_.state();
  }

  void check_replicas(const char* hint = "its memory or the network is at fault: resume from the last checkpoint") {
    wait_for_updates();
    const distributed::Fingerprint own{"set of weights", hash_of_weights(model_, !settings_.shards_weights())};
    require_same(ranks_, std::span(&own, 1), hint);
  }

  void tell_skipped(const StepReport& report) {
    log_.add_skipped(report, loss_scale());
    if (state_.skipped_in_a_row < most_skipped_steps) return;
    log_.add(report);
    fail_together(
        ranks_, Error("loss or gradients were not finite in {} steps in a row, up to step {}: resume from a checkpoint "
                      "with a smaller --learning_rate; nothing was saved over it",
                      state_.skipped_in_a_row, report.step));
  }

  /// Evaluation and samples: every eval_steps steps.
  bool look_due() const { return state_.step > 0 && state_.step % settings_.eval_steps == 0; }
  void look() {
    if (evaluation_ && look_due()) {
      const std::optional<Evaluation> result = evaluate();
      if (!result) return;  // the run was asked to stop meanwhile
      log_.add(*result);
    }
    optimizer_.lead([&] {
      if (hooks_.on_samples) hooks_.on_samples(state_.step);
    });
  }

  void save() {
    wait_for_updates();
    // A state from which nothing can be trained must not stand as the newest checkpoint.
    if (agree_on_largest(ranks_, !optimizer_.has_finite_weights(), "whether the weights are finite") > 0)
      fail_together(ranks_, Error("the weights are not finite after step {}: nothing was saved, earlier checkpoints "
                                  "are as they were",
                                  state_.step));
    log_.sync();
    const std::filesystem::path folder =
        save_checkpoint(settings_.output_dir, model_, optimizer(), companions_, state_, settings_, ranks_);
    say("saved {}", folder.string());
    if (hooks_.on_saved) hooks_.on_saved();
  }

  void save_final_model() { save_trained_model(settings_.output_dir, model_, optimizer(), companions_, ranks_); }

  M& model_;
  const Splits& data_;
  ModelCompanions companions_;
  TrainingSettings settings_;
  TrainingHooks hooks_;
  distributed::CommunicatorBase& ranks_;
  ZeroOptimizer<M, O> optimizer_;
  step_graph_of<typename M::Backend> step_graph_;
  typename M::Work work_;
  BatchLoader<Batch> batches_;
  std::optional<std::pair<typename M::Work, Batch>> evaluation_;
  TrainerState state_;
  LossScale loss_scale_{settings_.loss_scaling};
  RunLog log_{state_, hooks_};
  bool resumed_ = false;
  int stop_ = 0;
  double matmul_rate_ = 0;
};

}  // namespace moderngpt2
