#pragma once

#include <cmath>
#include <cstddef>
#include <optional>
#include <utility>

#include "moderngpt2/backend/step_sums.hpp"
#include "moderngpt2/distributed/communicator.hpp"
#include "moderngpt2/distributed/gradient_exchange.hpp"
#include "moderngpt2/distributed/update_exchange.hpp"
#include "moderngpt2/model/weight_source.hpp"
#include "moderngpt2/training/hooks.hpp"
#include "moderngpt2/training/model_optimizer.hpp"
#include "moderngpt2/training/optimizer.hpp"
#include "moderngpt2/training/settings.hpp"
#include "moderngpt2/training/sharded_weights.hpp"

namespace moderngpt2 {

/// Distributed optimizer step with ZeRO (Rajbhandari et al. 2020): reduces gradients during backward passes, updates
/// the shard of this rank, and gathers the new weights. Also used with a single rank. The calls of a step are
///   begin_step(); for each pass begin_pass(), ready() for its units, add() of its loss, end_pass();
///   end_passes(); finish()
/// With a single rank on a GPU, only finish() waits for the GPU. Threads: one at a time.
template <class M, OptimizerFor<M> O = AdamW<M>>
class ZeroOptimizer {
 public:
  using Backend = typename M::Backend;

  /// `device_ranks`: the same ranks as `ranks`, with access to the model's memory.
  ZeroOptimizer(M& model, const TrainingSettings& s, distributed::CommunicatorBase& ranks,
                distributed::CommunicatorBase& device_ranks)
      : ZeroOptimizer(model, s, O(s), ranks, device_ranks) {}
  ZeroOptimizer(M& model, const TrainingSettings& s, O rule, distributed::CommunicatorBase& ranks,
                distributed::CommunicatorBase& device_ranks)
      : model_(model),
        ranks_(ranks),
        exchange_(device_ranks, model.backend(), layout_of(model, s, ranks.size()), s.zero_stage,
                  model.make_gradients(pages_of_gradients<M>(s))),
        updates_(device_ranks, exchange_.layout(), unit_buckets(model, exchange_.layout()), s.zero_stage,
                 model.weights()),
        sums_(model.backend()) {
    if (s.shards_weights())
      sharded_.emplace(model, ranks, device_ranks, exchange_.layout());
    else if (exchange_.is_sharded())
      waits_for_updates_.emplace(model, updates_);
    own_.emplace(model, s, std::move(rule), exchange_.shard());
  }
  ZeroOptimizer(const ZeroOptimizer&) = delete;
  ZeroOptimizer& operator=(const ZeroOptimizer&) = delete;

  /// Optimizer of this rank's shard.
  ModelOptimizer<M, O>& own() { return *own_; }
  const ModelOptimizer<M, O>& own() const { return *own_; }

  void begin_step() {
    exchange_.begin_step();
    sums_.begin(model_.backend());
  }
  void begin_pass(bool is_last) { exchange_.begin_pass(is_last); }
  /// Gradients that passes add to.
  typename M::Gradients& gradients() { return exchange_.gradients(); }
  /// Starts to reduce a unit's gradients. Call it when they are complete (see NoGradientHook).
  void ready(Unit unit) { exchange_.ready(unit); }
  /// Adds the loss of a pass to the sum of the step.
  void add(const typename M::Loss& loss) { sums_.add(model_.backend(), loss); }
  /// Ends a pass. Call it on every rank, including ranks without a batch in the pass.
  void end_pass() { exchange_.end_pass(); }

  /// Sums the squares of the gradients. With a single rank on a backend that satisfies DecidesUpdates, also queues the
  /// update, without waiting for the sums.
  void end_passes(bool has_labels, double loss_scale, double learning_rate) {
    if (!has_labels) return;
    own_->add_squares(model_, own_gradients(), sums_);
    if constexpr (DecidesUpdates<Backend>)
      if (ranks_.size() == 1)
        update(
            {.learning_rate = learning_rate, .decision = sums_.decide(model_.backend(), own_->clipping(loss_scale))});
  }

  /// Waits for the sums, reduces them over ranks, and sets loss, grad_norm and applied of the report, whose
  /// learning_rate is given. Updates the weights unless the update is queued, the batch has no labels, or the loss or a
  /// gradient of any rank is not finite. All-gathers of new weights may be in progress on return.
  void finish(bool has_labels, double loss_scale, StepReport& report) {
    const StepTotals own = sums_.read(model_.backend());
    report.loss = own.loss;
    double squares = own.squares;
    if (ranks_.size() > 1) {
      const bool counts = exchange_.is_sharded() || ranks_.rank() == 0;  // all ranks have the same sum in stage 0
      double sums[]{own.loss, counts ? squares : 0};
      ranks_.all_reduce(sums, 2, distributed::ReduceOp::sum, "loss and gradient norm").wait();
      report.loss = sums[0], squares = sums[1];
    }
    report.grad_norm = std::sqrt(squares) / loss_scale;
    report.applied = has_labels && UpdateRule::applies(report.loss, report.grad_norm);
    if (!report.applied) return;
    if (!DecidesUpdates<Backend> || ranks_.size() > 1)
      update({.learning_rate = report.learning_rate,
              .gradient_scale = own_->clipping(loss_scale).gradient_scale(report.grad_norm)});
    ++own_->updates;
    if (sharded_) wait_for_updates();  // passes gather from all ranks
  }

  /// Waits until all weights have the values of the last step. Passes of the model wait by themselves.
  void wait_for_updates() { updates_.finish(); }

  /// Whether all weights of this rank are finite. Call wait_for_updates() before.
  bool has_finite_weights() {
    const auto& weights = model_.weights();
    return moderngpt2::has_finite_weights(
        model_, sharded_ ? own_->shard() : distributed::Shard::whole(weights.matrices.size(), weights.vectors.size()));
  }

  /// Runs f() on rank 0 while the other ranks serve its weight gathers (ZeRO 3); on every rank otherwise.
  template <class F>
  void run_on_rank0(F&& f) {
    if (sharded_)
      sharded_->run_on_rank0(f);
    else
      f();
  }

 private:
  ShardGradients<typename M::FullElements> own_gradients() const { return {exchange_.own(), exchange_.packs()}; }
  void update(const UpdateStep& call) {
    own_->update(model_, own_gradients(), call, [&](std::size_t piece) { updates_.start(piece); });
  }

  M& model_;
  distributed::CommunicatorBase& ranks_;
  distributed::GradientExchange<typename M::FullElements, Backend> exchange_;
  distributed::UpdateExchange<typename M::Weights> updates_;
  std::optional<WeightSourceUse<M>> waits_for_updates_;  // stages 1 and 2
  std::optional<ShardedWeights<M>> sharded_;             // stage 3
  std::optional<ModelOptimizer<M, O>> own_;              // constructed after whole weights are discarded
  step_sums_of<Backend> sums_;
};

}  // namespace moderngpt2
