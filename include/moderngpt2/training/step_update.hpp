#pragma once

#include <cmath>
#include <cstddef>

#include "moderngpt2/backend/step_sums.hpp"
#include "moderngpt2/distributed/communicator.hpp"
#include "moderngpt2/training/hooks.hpp"
#include "moderngpt2/training/optimizer.hpp"

namespace moderngpt2 {

/// The sums of a step and the update that follows from them. Where the backend decides on updates and one process
/// trains, all of a step is queued before anything of it is waited for; else the host has the sums first, and of
/// several processes all the same.
template <class M>
class StepUpdate {
 public:
  using Backend = typename M::Backend;

  explicit StepUpdate(M& model) : model_(model), sums_(model.backend()) {}

  /// To be called before the first pass of a step.
  void begin() { sums_.begin(model_.backend()); }
  void add(const typename M::Loss& loss) { sums_.add(model_.backend(), loss); }

  /// Updates the weights, unless no label counts or something is not finite on any rank, and tells the report. The
  /// `exchange` has the gradients, and shares new weights from when a piece of them is queued.
  template <class Exchange>
  void finish(AdamW<M>& optimizer, Exchange& exchange, distributed::CommunicatorBase& ranks, bool has_labels,
              double loss_scale, StepReport& report) {
    Backend& b = model_.backend();
    const ShardGradients<typename M::FullElements> gradients{exchange.own(), exchange.packs()};
    const UpdateRule rule = optimizer.rule(loss_scale);
    const auto update = [&](AdamWStep call) {
      call.learning_rate = report.learning_rate;
      optimizer.update(model_, gradients, call,
                       [&](std::size_t piece) { exchange.start_sharing(model_.weights(), piece); });
    };
    if (has_labels) optimizer.add_squares(model_, gradients, sums_);
    bool is_queued = false;
    if constexpr (DecidesUpdates<Backend>)
      if (is_queued = has_labels && ranks.size() == 1; is_queued) update({.decision = sums_.decide(b, rule)});

    const StepTotals own = sums_.read(b);
    report.loss = own.loss;
    double squares = own.squares;
    if (ranks.size() > 1) {
      double sums[]{own.loss, exchange.is_sharded() || ranks.rank() == 0 ? squares : 0};  // stage 0: all have the same
      ranks.all_reduce(sums, 2, distributed::ReduceOp::sum, "loss and gradient norm").wait();
      report.loss = sums[0], squares = sums[1];
    }
    report.grad_norm = std::sqrt(squares) / loss_scale;
    report.applied = has_labels && UpdateRule::applies(report.loss, report.grad_norm);
    if (!report.applied) return;
    if (!is_queued) update({.gradient_scale = rule.gradient_scale(report.grad_norm)});
    ++optimizer.updates;
  }

 private:
  M& model_;
  step_sums_of<Backend> sums_;
};

}  // namespace moderngpt2
