#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <span>
#include <utility>

#include "moderngpt2/backend/calls.hpp"
#include "moderngpt2/backend/host.hpp"
#include "moderngpt2/core/error.hpp"
#include "moderngpt2/distributed/buckets.hpp"
#include "moderngpt2/io/file_hash.hpp"
#include "moderngpt2/model/parameters.hpp"
#include "moderngpt2/training/adamw.hpp"
#include "moderngpt2/training/master_weights.hpp"
#include "moderngpt2/training/optimizer.hpp"
#include "moderngpt2/training/settings.hpp"
#include "moderngpt2/training/weight_providers.hpp"

namespace moderngpt2 {

/// 2-norm of all gradients, summed in double.
template <class B, class Gradients>
double gradient_norm(B& backend, const Gradients& g) {
  return std::sqrt(double(sum_of_squares(backend, g.matrices.data(), g.matrices.size())) +
                   double(sum_of_squares(backend, g.vectors.data(), g.vectors.size())));
}

/// Hash of the weights that are replicated on every rank, to detect divergence. has_all_matrices: false in ZeRO stage
/// 3, where only norms and biases are replicated.
template <class M>
std::uint64_t hash_of_weights(const M& model, bool has_all_matrices) {
  FileHash hash;
  const auto add = [&](const auto& buffer) {
    read_pieces(model.backend(), buffer.data(), buffer.size(), [&](std::int64_t n, const auto* here) {
      hash.add(std::as_bytes(std::span(here, static_cast<std::size_t>(n))));
    });
  };
  if (has_all_matrices) add(model.weights().matrices);
  add(model.weights().vectors);
  return hash.value();
}

/// Gradients of a shard's elements: in buffers of the whole model, or `packed` in the order of the shard's pieces.
template <class E>
struct ShardGradients {
  ParameterPlaces<E> places;
  bool packed = false;

  const auto* matrices(const distributed::Piece& p) const { return places.matrices + (packed ? p.at : p.offset); }
  const auto* vectors(const distributed::Piece& p) const { return places.vectors + (packed ? p.at : p.offset); }
};

/// Optimizer of a model or of one rank's shard of it: master weights, optimizer state, clipping and the update.
/// O: the update rule and its state. Threads: for the thread that trains the model; an update throws an Error if
/// another thread uses the model.
template <class M, OptimizerFor<M> O = AdamW<M>>
class ModelOptimizer {
 public:
  using Gradients = typename M::Gradients;

  /// Optimizer of the whole model, with the rule's hyperparameters from `settings`.
  ModelOptimizer(M& model, const TrainingSettings& settings) : ModelOptimizer(model, settings, O(settings)) {}
  ModelOptimizer(M& model, const TrainingSettings& settings, O rule)
      : ModelOptimizer(model, settings, std::move(rule),
                       distributed::Shard::whole(model.weights().matrices.size(), model.weights().vectors.size())) {}
  /// Allocates the shard's state and master weights. Throws an Error if the rule needs whole matrices and the shard is
  /// not the whole model.
  ModelOptimizer(M& model, const TrainingSettings& settings, O rule, distributed::Shard shard)
      : shard_(std::move(shard)),
        rule_(std::move(rule)),
        masters_(model, shard_),
        max_grad_norm_(settings.max_grad_norm) {
    if (O::needs_whole_matrices && !is_whole(model))
      throw Error("zero_stage: {} updates whole matrices, but ZeRO stage {} cuts them. Set zero_stage to 0.", O::name,
                  settings.zero_stage);
    O::describe_state(rule_, [&]<class Tensors>(const char*, Tensors& tensors, StateScope scope) {
      tensors = Tensors(scope == StateScope::vectors ? 0 : element_count(shard_.matrices),
                        scope == StateScope::matrices ? 0 : element_count(shard_.vectors));
    });
  }

  const distributed::Shard& shard() const { return shard_; }
  /// Whether the shard is the whole model.
  bool is_whole(const M& model) const { return element_count(shard_.matrices) == model.weights().matrices.size(); }
  const MasterWeights<M>& masters() const { return masters_; }
  /// Hyperparameters and state of this rank's shard.
  const O& rule() const { return rule_; }
  O& rule() { return rule_; }

  /// Loads the model and the master weights of this shard from a provider: see moderngpt2::fill().
  template <class P>
  void fill(M& model, P&& provider) {
    moderngpt2::fill(model, masters_, shard_, provider);
  }

  struct Outcome {
    double grad_norm = 0;  ///< before clipping
    bool applied = false;  ///< false: the norm is not finite, and weights and state are unchanged
  };

  /// Clips the gradients of a whole model and updates weights and state.
  Outcome step(M& model, const Gradients& gradients, double learning_rate) {
    const auto use = model.exclusive_use();
    const double norm = gradient_norm(model.backend(), gradients);
    if (!std::isfinite(norm)) return {norm, false};
    update(model, {{gradients.matrices.data(), gradients.vectors.data()}},
           {.learning_rate = learning_rate, .gradient_scale = clipping().gradient_scale(norm)}, [](std::size_t) {});
    ++updates;
    return {norm, true};
  }

  /// Returns the clipping rule for gradients that are multiplied by `loss_scale`.
  UpdateRule clipping(double loss_scale = 1) const {
    return {.max_grad_norm = max_grad_norm_, .loss_scale = loss_scale};
  }

  /// Calls f(elements, count) for each piece of a shard's gradients.
  template <class F>
  void for_gradients(const ShardGradients<typename M::FullElements>& gradients, F&& f) const {
    for (const distributed::Piece& p : shard_.matrices) f(gradients.matrices(p), p.length);
    for (const distributed::Piece& p : shard_.vectors) f(gradients.vectors(p), p.length);
  }

  /// Updates weights and state of the shard. Calls updated(i) after piece i; i numbers the matrix pieces, then the
  /// vector pieces. Vectors (norms and biases) are updated first, because every unit waits for them. The caller
  /// increments `updates` if the step was applied.
  template <class Updated>
  void update(M& model, const ShardGradients<typename M::FullElements>& gradients, UpdateStep step, Updated&& updated) {
    const auto use = model.exclusive_use();
    step.number = updates + 1;
    std::size_t done = shard_.matrices.size();
    for (const distributed::Piece& p : shard_.vectors) {
      rule_.update(model.backend(),
                   VectorPiece<M>{.weights = model.weights().vectors.data() + p.offset,
                                  .gradients = gradients.vectors(p),
                                  .count = p.length,
                                  .at = p.at},
                   step);
      updated(done++);
    }
    done = 0;
    for (const distributed::Piece& p : shard_.matrices) {
      const MatrixPiece<M> piece = matrix_piece(model, gradients, p);
      if constexpr (O::needs_whole_matrices)
        for_matrices_of(model, piece, p,
                        [&](const MatrixPiece<M>& matrix) { rule_.update(model.backend(), matrix, step); });
      else
        rule_.update(model.backend(), piece, step);
      updated(done++);
    }
  }

  std::int64_t updates = 0;  ///< applied steps

 private:
  MatrixPiece<M> matrix_piece(M& model, const ShardGradients<typename M::FullElements>& gradients,
                              const distributed::Piece& p) const {
    MatrixPiece<M> piece{
        .weights = masters_.matrices(model, p), .gradients = gradients.matrices(p), .count = p.length, .at = p.at};
    if constexpr (M::rounds_weights) piece.rounded = model.weights().matrices.data() + p.offset;
    return piece;
  }
  /// Calls f(piece of one matrix) for each matrix of a piece that consists of whole matrices.
  template <class F>
  void for_matrices_of(const M& model, const MatrixPiece<M>& piece, const distributed::Piece& p, F&& f) const {
    for (const ParameterInfo& info : model.parameters()) {
      if (!info.is_matrix() || info.offset < p.offset || info.offset >= p.offset + p.length) continue;
      const std::int64_t first = info.offset - p.offset;
      MatrixPiece<M> matrix = piece;
      matrix.weights += first, matrix.gradients += first, matrix.at += first;
      if constexpr (M::rounds_weights) matrix.rounded += first;
      matrix.count = info.size, matrix.parameter = &info;
      f(matrix);
    }
  }

  distributed::Shard shard_;
  O rule_;
  MasterWeights<M> masters_;
  double max_grad_norm_;
};

}  // namespace moderngpt2
