#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <type_traits>
#include <utility>

#include "moderngpt2/backend/step_graph.hpp"
#include "moderngpt2/core/clock.hpp"
#include "moderngpt2/core/error.hpp"
#include "moderngpt2/distributed/agreement.hpp"
#include "moderngpt2/distributed/device_ranks.hpp"
#include "moderngpt2/model/activations.hpp"
#include "moderngpt2/training/batch_loader.hpp"
#include "moderngpt2/training/evaluation.hpp"
#include "moderngpt2/training/hooks.hpp"
#include "moderngpt2/training/loss_scale.hpp"
#include "moderngpt2/training/loss_spikes.hpp"
#include "moderngpt2/training/optimizer.hpp"
#include "moderngpt2/training/schedule.hpp"
#include "moderngpt2/training/settings.hpp"
#include "moderngpt2/training/state.hpp"
#include "moderngpt2/training/verification.hpp"
#include "moderngpt2/training/zero_optimizer.hpp"

namespace moderngpt2 {

/// Optimizer steps of a run: loads the data, accumulates gradients over micro-batches, scales the loss in fp16, and
/// updates the weights. Each rank computes a contiguous part of every batch. Threads: one at a time.
template <class M, class Task, OptimizerFor<M> O>
class TrainingStep {
 public:
  using Batch = typename Task::Batch;
  using Splits = typename Task::Splits;

  /// Allocates gradients, optimizer state, activations and batches. All references must outlive the object.
  TrainingStep(M& model, const Splits& data, const TrainingSettings& settings, const TrainingHooks& hooks, O optimizer,
               distributed::CommunicatorBase& ranks, distributed::CommunicatorBase* device_ranks)
      : model_(model),
        settings_(settings),
        hooks_(hooks),
        ranks_(ranks),
        blocks_(data.train.size()),
        optimizer_(model, settings, std::move(optimizer), ranks,
                   distributed::ranks_for_memory_of<typename M::Backend>(ranks, device_ranks)),
        work_(model.workspace(int(micro_batch()) * Batch::sequences_of(data.train), data.train.block_size(),
                              settings.gradient_checkpointing ? Mode::train_recompute : Mode::train)),
        batches_(data.train, Batch(data.train, largest_part(rows_at_most(settings.global_batch())), model.config()),
                 settings.dataloader_num_workers > 0),
        loss_scale_(settings.loss_scaling),
        verifier_(settings, hooks, ranks),
        flops_per_token_(model.layers().training_flops_per_token(data.train.block_size())) {}

  ZeroOptimizer<M, O>& optimizer() { return optimizer_; }
  const ZeroOptimizer<M, O>& optimizer() const { return optimizer_; }
  /// Maximum number of examples in a micro-batch.
  std::int64_t micro_batch() const { return rows_at_most(settings_.per_device_train_batch_size); }
  double flops_per_token() const { return flops_per_token_; }
  /// Factor of the loss in fp16 (see LossScale); 1 in other precisions.
  double loss_scale() const { return scales_loss ? loss_scale_.value() : 1.0; }
  void resume_loss_scale(const TrainerState& state) {
    if (scales_loss && state.loss_scale) loss_scale_.resume(*state.loss_scale);
  }

  /// Runs the step after `state` and advances the state. All-gathers of new weights may be in progress on return.
  StepReport run(TrainerState& state, const LearningRateSchedule& schedule) {
    const auto use = model_.exclusive_use();  // also between passes and update, and while a graph is captured
    const double begin = seconds_now();
    ranks_.set_step(state.step + 1);
    const BatchPlace place = batch_at(state, state.position), own = part_of(place);
    const DataPosition next = position_after(place);
    const Batch& batch = batches_.load(own, part_of(batch_at(state, next)));
    const double data_seconds = seconds_now() - begin;
    const StepCounts counts = count(batch);

    StepReport report{.step = state.step + 1,
                      .learning_rate = schedule.at(state.step),
                      .labels = counts.valid,
                      .tokens = counts.tokens,
                      .data_seconds = data_seconds};
    if (scales_loss) report.loss_scale = loss_scale();
    double update_begin = 0;
    const auto queue = [&] {
      queue_passes(state, batch, place, own, counts);
      update_begin = seconds_now();
      optimizer_.end_passes(counts.valid > 0, loss_scale(), report.learning_rate);
    };
    const auto compute = [&] {
      if (settings_.cuda_graph)
        step_graph_.run(model_.backend(), {own.rows, batch.time(), batch.mask(0) != nullptr, counts.valid > 0}, queue);
      else
        queue();
      optimizer_.finish_sums(counts.valid > 0, loss_scale(), report);
    };
    compute();
    const bool suspicious = counts.valid > 0 && (!report.applied || spikes_.is_spike(report.loss));
    verifier_.verify(
        report, suspicious, [&] { return optimizer_.fingerprint(report); }, compute);
    optimizer_.apply(loss_scale(), report);
    report_span("update", update_begin);
    if (report.applied && spikes_.add(report.loss)) report.usual_loss = spikes_.mean();
    advance(state, report, next);
    return report;
  }

 private:
  static constexpr bool scales_loss = std::is_same_v<typename M::T, f16>;

  /// Totals of a step's batch over all ranks.
  struct StepCounts {
    typename Batch::Divisors divisors{};
    std::int64_t valid = 0, tokens = 0;
  };
  StepCounts count(const Batch& batch) {
    return sum_over_ranks(ranks_, StepCounts{batch.divisors(), batch.valid(), batch.tokens()}, "labels");
  }

  std::int64_t rows_at_most(std::int64_t rows) const { return std::min(rows, blocks_); }
  /// Rows of the largest part of a batch when each rank takes one.
  std::int64_t largest_part(std::int64_t rows) const { return (rows + ranks_.size() - 1) / ranks_.size(); }

  /// Batch of all ranks at a position.
  BatchPlace batch_at(const TrainerState& state, DataPosition at) const {
    const std::int64_t rows = std::min(settings_.global_batch(), state.blocks - at.samples);
    return {state.seed, at.epoch, at.samples, rows, at.samples, rows};
  }
  DataPosition position_after(const BatchPlace& batch) const {
    const std::int64_t samples = batch.first + batch.rows;
    return samples == blocks_ ? DataPosition{batch.epoch + 1, 0} : DataPosition{batch.epoch, samples};
  }
  /// Part of a batch that this rank computes. Parts are in the order of ranks.
  BatchPlace part_of(const BatchPlace& batch) const {
    const std::int64_t size = ranks_.size(), begin = batch.rows * ranks_.rank() / size;
    BatchPlace own = batch;
    own.first += begin;
    own.rows = batch.rows * (ranks_.rank() + 1) / size - begin;
    return own;
  }

  /// Queues the forward and backward passes of this rank's part of a batch.
  void queue_passes(const TrainerState& state, const Batch& batch, const BatchPlace& place, const BatchPlace& own,
                    const StepCounts& counts) {
    optimizer_.begin_step(verifier_.is_due(state.step + 1));
    const auto on_ready = [this](Unit unit) { optimizer_.ready(unit); };
    const std::int64_t most = largest_part(place.rows);  // every rank makes the same number of passes
    for (std::int64_t first = 0; first < most; first += settings_.per_device_train_batch_size) {
      optimizer_.begin_pass(first + settings_.per_device_train_batch_size >= most);
      const std::int64_t micro = std::min<std::int64_t>(settings_.per_device_train_batch_size, own.rows - first);
      if (micro > 0) {
        const double pass_begin = seconds_now();
        auto pass = pass_of<typename M::R>(batch, first, micro);
        pass.training = true, pass.loss_scale = typename M::R(loss_scale()), pass.seed = state.seed,
        pass.step = std::uint64_t(state.step);
        pass.label_smoothing = typename M::R(settings_.label_smoothing_factor);
        pass.first_sequence += (own.first - place.first) * batch.sequences();
        optimizer_.add(model_.loss_and_gradients(work_, batch.ids(first),
                                                 batch.head_labels(first, micro, counts.divisors),
                                                 optimizer_.gradients(), pass, on_ready));
        report_span("forward and backward", pass_begin);
      } else {
        model_.participate_without_batch(on_ready);
      }
      optimizer_.end_pass();
    }
  }

  void advance(TrainerState& state, StepReport& report, DataPosition next) {
    ++state.step;
    state.position = next;
    state.updates = optimizer_.own().updates;
    state.tokens += report.tokens;
    state.flops += double(report.tokens) * flops_per_token_;
    const bool has_labels = report.labels > 0;
    if (has_labels) state.logged_loss_sum += report.loss, ++state.logged_steps;
    state.unlabelled += !has_labels;
    const bool finite = std::isfinite(report.loss) && std::isfinite(report.grad_norm);
    state.skipped += !finite;
    report.overflows = scales_loss && !finite && std::isfinite(report.loss) && loss_scale_.can_shrink();
    if (!report.overflows) state.skipped_in_a_row = finite ? 0 : state.skipped_in_a_row + 1;
    if constexpr (scales_loss) loss_scale_.update(!finite), state.loss_scale = loss_scale_.state();
    if (!has_labels) report.loss = report.grad_norm = std::numeric_limits<double>::quiet_NaN();
  }

  void report_span(const char* phase, double begin) const {
    if (hooks_.on_span) hooks_.on_span(phase, begin, seconds_now());
  }

  M& model_;
  const TrainingSettings& settings_;
  const TrainingHooks& hooks_;
  distributed::CommunicatorBase& ranks_;
  std::int64_t blocks_;  // number of blocks in the training data
  ZeroOptimizer<M, O> optimizer_;
  step_graph_of<typename M::Backend> step_graph_;
  typename M::Work work_;
  BatchLoader<Batch> batches_;
  LossScale loss_scale_;
  LossSpikes spikes_;
  StepVerifier verifier_;
  double flops_per_token_;
};

}  // namespace moderngpt2
