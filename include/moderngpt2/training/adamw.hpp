#pragma once

#include "moderngpt2/backend/calls.hpp"
#include "moderngpt2/training/optimizer.hpp"
#include "moderngpt2/training/settings.hpp"

namespace moderngpt2 {

/// AdamW (Loshchilov & Hutter 2019). Matrices decay, norms and biases do not. Threads: one at a time.
template <class M>
class AdamW {
 public:
  static constexpr const char* name = "AdamW";
  static constexpr bool needs_whole_matrices = false;

  explicit AdamW(const TrainingSettings& s)
      : hyperparameters_{.beta1 = s.adam_beta1, .beta2 = s.adam_beta2, .epsilon = s.adam_epsilon},
        weight_decay_(s.weight_decay) {}

  /// Moments under the names that torch.optim.AdamW gives them.
  template <class Self, class Visitor>
  static void describe_state(Self& self, Visitor&& visit) {
    visit("exp_avg", self.first, StateScope::all);
    visit("exp_avg_sq", self.second, StateScope::all);
  }

  template <class Piece>
  void update(typename M::Backend& b, const Piece& piece, const UpdateStep& step) {
    AdamWStep call = hyperparameters_;
    call.learning_rate = step.learning_rate, call.gradient_scale = step.gradient_scale;
    call.decision = step.decision, call.step = step.number;
    if constexpr (Piece::is_matrix) call.weight_decay = weight_decay_;
    auto *const m = piece.state(first), *const v = piece.state(second);
    if constexpr (Piece::has_rounded)
      adamw(b, piece.weights, m, v, piece.gradients, piece.count, call, piece.rounded);
    else
      adamw(b, piece.weights, m, v, piece.gradients, piece.count, call);
  }

  StateTensors<M> first, second;  ///< exponential moving averages of the gradients and of their squares

 private:
  AdamWStep hyperparameters_;
  double weight_decay_;
};

}  // namespace moderngpt2
