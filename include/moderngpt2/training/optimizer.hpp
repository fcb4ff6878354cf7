#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <utility>

#include "moderngpt2/backend/calls.hpp"
#include "moderngpt2/backend/host.hpp"
#include "moderngpt2/core/memory.hpp"
#include "moderngpt2/model/parameters.hpp"
#include "moderngpt2/training/settings.hpp"

namespace moderngpt2 {

/// The 2-norm of all gradients, summed in double.
template <class B, class Gradients>
double gradient_norm(B& backend, const Gradients& g) {
  return std::sqrt(double(sum_of_squares(backend, g.matrices.data(), g.matrices.size())) +
                   double(sum_of_squares(backend, g.vectors.data(), g.vectors.size())));
}

/// What PyTorch's clip_grad_norm_ multiplies gradients by. A limit of 0 does not clip.
inline double clip_coefficient(double norm, double max_norm) {
  return max_norm > 0 ? std::min(1.0, max_norm / (norm + 1e-6)) : 1.0;
}

/// Whether no weight of a model is infinite or not a number.
template <class M>
bool has_finite_weights(M& model) {
  return std::isfinite(gradient_norm(model.backend(), model.weights()));
}

/// AdamW, its moments, and the fp32 masters of the matrices where a model computes with rounded ones. Matrices decay,
/// norms and biases do not.
template <class M>
class AdamW {
 public:
  using Gradients = typename M::Gradients;
  using FullWeights = ParameterPlaces<typename M::FullElements>;

  /// The masters begin as the model's weights.
  AdamW(M& model, const TrainingSettings& settings)
      : first(model.make_gradients()), second(model.make_gradients()), settings_(settings) {
    if constexpr (M::rounds_weights) {
      const auto& rounded = model.weights().matrices;
      masters_ = FlatBuffer<Master, typename M::Memory>(rounded.size());
      cast(model.backend(), masters_.data(), rounded.data(), rounded.size());
    }
  }

  /// All weights as training keeps them, to be read, saved or filled: the masters, or the model's own.
  FullWeights full_weights(const M& model) const requires OnHost<typename M::Backend> {
    if constexpr (M::rounds_weights)
      return {masters_.data(), model.weights().vectors.data()};
    else
      return model.weights();
  }
  /// Gives a model its rounded matrices after the full weights were filled.
  void round_weights(M& model) const {
    if constexpr (M::rounds_weights)
      cast(model.backend(), model.weights().matrices.data(), masters_.data(), masters_.size());
  }

  /// f(all weights as training keeps them, in the host's memory), which may read and change them; the model gets them.
  template <class F>
  void edit_full_weights(M& model, F&& f) {
    if constexpr (!M::rounds_weights) {
      edit_on_host(model.backend(), model.weights(), [&](const auto& weights) { f(FullWeights(weights)); });
    } else {
      if constexpr (OnHost<typename M::Backend>) {
        f(full_weights(model));
      } else {
        auto& b = model.backend();
        ParameterBuffers<typename M::FullElements> here(masters_.size(), model.weights().vectors.size());
        download(b, here.matrices.data(), masters_.data(), masters_.size());
        download(b, here.vectors.data(), model.weights().vectors.data(), here.vectors.size());
        f(FullWeights(here));
        masters_ = placed(b, std::move(here.matrices));
        model.weights().vectors = placed(b, std::move(here.vectors));
      }
      round_weights(model);
    }
  }

  struct Outcome {
    double grad_norm = 0;  ///< before clipping
    bool applied = false;  ///< false: the norm was not finite, and nothing has changed
  };

  /// Clips, and updates weights and moments.
  Outcome step(M& model, const Gradients& gradients, double learning_rate) {
    const double norm = gradient_norm(model.backend(), gradients);
    if (!std::isfinite(norm)) return {norm, false};
    AdamWStep call{.learning_rate = learning_rate,
                   .beta1 = settings_.adam_beta1,
                   .beta2 = settings_.adam_beta2,
                   .epsilon = settings_.adam_epsilon,
                   .weight_decay = settings_.weight_decay,
                   .gradient_scale = clip_coefficient(norm, settings_.max_grad_norm),
                   .step = ++updates};
    auto& w = model.weights();
    if constexpr (M::rounds_weights)
      adamw(model.backend(), masters_.data(), first.matrices.data(), second.matrices.data(), gradients.matrices.data(),
            masters_.size(), call, w.matrices.data());
    else
      adamw(model.backend(), w.matrices.data(), first.matrices.data(), second.matrices.data(),
            gradients.matrices.data(), w.matrices.size(), call);
    call.weight_decay = 0;
    adamw(model.backend(), w.vectors.data(), first.vectors.data(), second.vectors.data(), gradients.vectors.data(),
          w.vectors.size(), call);
    return {norm, true};
  }

  Gradients first, second;   ///< exp_avg and exp_avg_sq of every parameter
  std::int64_t updates = 0;  ///< steps applied, for the bias correction

 private:
  using Master = typename M::FullElements::MatrixType;

  FlatBuffer<Master, typename M::Memory> masters_;  // of the matrices; empty where the model's are not rounded
  TrainingSettings settings_;
};

}  // namespace moderngpt2
