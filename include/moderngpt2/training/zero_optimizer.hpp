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

/// What ranks that train one model do together, in the stages of ZeRO (Rajbhandari et al. 2020): gradients are summed
/// as passes make them, each rank updates its shard, new weights go to all. One rank does the same by itself. A step is
///   begin_step(), and for each pass begin_pass(), ready() of its units, add() of its loss, end_pass(); then
///   end_passes() and finish()
/// of which finish() alone waits for one process's GPU.
template <class M, OptimizerFor<M> O = AdamW<M>>
class ZeroOptimizer {
 public:
  using Backend = typename M::Backend;

  /// `device_ranks` are the `ranks` that reach the model's memory.
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
  /// What the pass adds to.
  typename M::Gradients& gradients() { return exchange_.gradients(); }
  /// To be told each unit whose gradients are there (see NobodyWaits).
  void ready(int unit) { exchange_.ready(unit); }
  void add(const typename M::Loss& loss) { sums_.add(model_.backend(), loss); }
  /// Also for a rank that had nothing to compute in the pass.
  void end_pass() { exchange_.end_pass(); }

  /// Where the backend decides on updates and one process trains, that of the step is queued here, before anything of
  /// the step is waited for.
  void end_passes(bool has_labels, double loss_scale, double learning_rate) {
    if (!has_labels) return;
    own_->add_squares(model_, own_gradients(), sums_);
    if constexpr (DecidesUpdates<Backend>)
      if (ranks_.size() == 1)
        update(
            {.learning_rate = learning_rate, .decision = sums_.decide(model_.backend(), own_->clipping(loss_scale))});
  }

  /// Updates the weights where that is not queued, unless no label counts or something is not finite on any rank, and
  /// tells the report, of which the learning rate is given. New weights are under way then. The host has the sums
  /// first, and of several processes all the same.
  void finish(bool has_labels, double loss_scale, StepReport& report) {
    const StepTotals own = sums_.read(model_.backend());
    report.loss = own.loss;
    double squares = own.squares;
    if (ranks_.size() > 1) {
      const bool counts = exchange_.is_sharded() || ranks_.rank() == 0;  // in stage 0 all have the same
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
    if (sharded_) wait_for_updates();  // passes ask it for weights
  }

  /// Returns when all weights are of the last step. Passes of the model wait as they go on.
  void wait_for_updates() { updates_.finish(); }

  /// Whether no weight that this rank has is infinite or not a number. After wait_for_updates().
  bool has_finite_weights() {
    const auto& weights = model_.weights();
    return moderngpt2::has_finite_weights(
        model_, sharded_ ? own_->shard() : distributed::Shard::whole(weights.matrices.size(), weights.vectors.size()));
  }

  /// Runs f() where it may use the model as it likes: on rank 0 alone where ranks have the weights together, else on
  /// all.
  template <class F>
  void lead(F&& f) {
    if (sharded_)
      sharded_->lead(f);
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
  std::optional<ModelOptimizer<M, O>> own_;              // made after weights are given back
  step_sums_of<Backend> sums_;
};

}  // namespace moderngpt2
