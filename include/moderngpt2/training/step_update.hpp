#pragma once

#include <cmath>
#include <cstddef>

#include "moderngpt2/backend/step_sums.hpp"
#include "moderngpt2/distributed/communicator.hpp"
#include "moderngpt2/distributed/gradient_exchange.hpp"
#include "moderngpt2/distributed/update_exchange.hpp"
#include "moderngpt2/training/hooks.hpp"
#include "moderngpt2/training/optimizer.hpp"

namespace moderngpt2 {

/// The sums of a step and the update that follows from them, of a model whose gradients are in `gradients` and whose
/// new weights go by `updates`. Where the backend decides on updates and one process trains, all of a step is queued
/// before anything of it is waited for; else the host has the sums first, and of several processes all the same.
template <class M>
class StepUpdate {
 public:
  using Backend = typename M::Backend;
  using Gradients = distributed::GradientExchange<typename M::FullElements, Backend>;
  using Updates = distributed::UpdateExchange<typename M::Weights>;

  StepUpdate(M& model, AdamW<M>& optimizer, const Gradients& gradients, Updates& updates,
             distributed::CommunicatorBase& ranks)
      : model_(model),
        optimizer_(optimizer),
        gradients_(gradients),
        updates_(updates),
        ranks_(ranks),
        sums_(model.backend()) {}

  /// To be called before the first pass of a step.
  void begin() { sums_.begin(model_.backend()); }
  void add(const typename M::Loss& loss) { sums_.add(model_.backend(), loss); }

  /// Updates the weights, unless no label counts or something is not finite on any rank, and tells the report. New
  /// weights are under way then.
  void finish(bool has_labels, double loss_scale, StepReport& report) {
    Backend& b = model_.backend();
    const ShardGradients<typename M::FullElements> gradients{gradients_.own(), gradients_.packs()};
    const UpdateRule rule = optimizer_.rule(loss_scale);
    const auto update = [&](AdamWStep call) {
      call.learning_rate = report.learning_rate;
      optimizer_.update(model_, gradients, call, [&](std::size_t piece) { updates_.start(piece); });
    };
    if (has_labels) optimizer_.add_squares(model_, gradients, sums_);
    bool is_queued = false;
    if constexpr (DecidesUpdates<Backend>)
      if (is_queued = has_labels && ranks_.size() == 1; is_queued) update({.decision = sums_.decide(b, rule)});

    const StepTotals own = sums_.read(b);
    report.loss = own.loss;
    double squares = own.squares;
    if (ranks_.size() > 1) {
      double sums[]{own.loss,
                    gradients_.is_sharded() || ranks_.rank() == 0 ? squares : 0};  // stage 0: all have the same
      ranks_.all_reduce(sums, 2, distributed::ReduceOp::sum, "loss and gradient norm").wait();
      report.loss = sums[0], squares = sums[1];
    }
    report.grad_norm = std::sqrt(squares) / loss_scale;
    report.applied = has_labels && UpdateRule::applies(report.loss, report.grad_norm);
    if (!report.applied) return;
    if (!is_queued) update({.gradient_scale = rule.gradient_scale(report.grad_norm)});
    ++optimizer_.updates;
  }

 private:
  M& model_;
  AdamW<M>& optimizer_;
  const Gradients& gradients_;
  Updates& updates_;
  distributed::CommunicatorBase& ranks_;
  step_sums_of<Backend> sums_;
};

}  // namespace moderngpt2
