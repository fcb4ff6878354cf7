#pragma once

#include <bit>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <utility>

#include "moderngpt2/backend/step_sums.hpp"
#include "moderngpt2/core/random.hpp"
#include "moderngpt2/distributed/communicator.hpp"
#include "moderngpt2/distributed/gradient_exchange.hpp"
#include "moderngpt2/distributed/gradient_hash.hpp"
#include "moderngpt2/distributed/update_exchange.hpp"
#include "moderngpt2/model/weight_source.hpp"
#include "moderngpt2/training/hooks.hpp"
#include "moderngpt2/training/model_optimizer.hpp"
#include "moderngpt2/training/optimizer.hpp"
#include "moderngpt2/training/settings.hpp"
#include "moderngpt2/training/sharded_weights.hpp"
#include "moderngpt2/training/verification.hpp"

namespace moderngpt2 {

/// Distributed optimizer step with ZeRO (Rajbhandari et al. 2020): reduces gradients during backward passes, updates
/// the shard of this rank, and gathers the new weights. Also used with a single rank. The calls of a step are
///   begin_step(); for each pass begin_pass(), ready() for its units, add() of its loss, end_pass();
///   end_passes(); finish_sums(); apply()
/// A step may be repeated up to finish_sums() before it is applied (settings.verify_steps > 0). With a single rank on a
/// GPU, only finish_sums() waits for the GPU. Threads: one at a time.
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
        sums_(model.backend()),
        decides_ahead_(DecidesUpdates<Backend> && ranks.size() == 1 && s.verify_steps == 0) {
    if (s.verify_steps > 0) hash_.emplace(model.backend());
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

  /// Begins a step. `is_due`: fingerprint() covers the gradients of all parameters before reduction; otherwise of norms
  /// and biases only, at almost no cost.
  void begin_step(bool is_due = false) {
    if (hash_) hash_->begin(model_.backend());
    exchange_.begin_step(ranks_.size() > 1 && hash_ ? &*hash_ : nullptr, is_due);
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
  /// update, without waiting for the sums, unless verify_steps is positive.
  void end_passes(bool has_labels, double loss_scale, double learning_rate) {
    if (!has_labels) return;
    own_->for_gradients(own_gradients(),
                        [&](const auto* x, std::int64_t n) { sums_.add_squares(model_.backend(), x, n); });
    if constexpr (DecidesUpdates<Backend>)
      if (decides_ahead_)
        update(
            {.learning_rate = learning_rate, .decision = sums_.decide(model_.backend(), own_->clipping(loss_scale))});
  }

  /// Waits for the sums, reduces them over ranks, and sets loss, grad_norm and applied of the report: whether the batch
  /// has labels, and the loss and all gradients of all ranks are finite.
  void finish_sums(bool has_labels, double loss_scale, StepReport& report) {
    totals_ = sums_.read(model_.backend());
    report.loss = totals_.loss;
    double squares = totals_.squares;
    if (ranks_.size() > 1) {
      const bool counts = exchange_.is_sharded() || ranks_.rank() == 0;  // all ranks have the same sum in stage 0
      double sums[]{totals_.loss, counts ? squares : 0};
      ranks_.all_reduce(sums, 2, distributed::ReduceOp::sum, "loss and gradient norm").wait();
      report.loss = sums[0], squares = sums[1];
    }
    report.grad_norm = std::sqrt(squares) / loss_scale;
    report.applied = has_labels && UpdateRule::applies(report.loss, report.grad_norm);
  }

  /// Hashes of the step's results on this rank. Call it between finish_sums() and apply(). Waits for the backend.
  StepFingerprint fingerprint(const StepReport& report) {
    auto& backend = model_.backend();
    const auto hash_of = [](std::uint64_t hash, auto... numbers) {
      ((hash = mix64(hash ^ std::bit_cast<std::uint64_t>(numbers))), ...);
      return hash;
    };
    StepFingerprint result{.computed = hash_of(hash_->value(backend), totals_.loss)};
    hash_->begin(backend);
    own_->for_gradients(own_gradients(), [&](const auto* x, std::int64_t n) { hash_->add(backend, x, n); });
    result.reduced = hash_of(hash_->value(backend), totals_.squares);
    result.totals = hash_of(0, report.loss, report.grad_norm);
    return result;
  }

  /// Updates the weights if report.applied, with report.learning_rate, unless the update is queued already. All-gathers
  /// of new weights may be in progress on return.
  void apply(double loss_scale, const StepReport& report) {
    if (!report.applied) return;
    if (!decides_ahead_)
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
  StepTotals totals_;  // sums of this rank
  bool decides_ahead_;
  std::optional<gradient_hash_of<Backend>> hash_;  // if steps are verified
};

}  // namespace moderngpt2
