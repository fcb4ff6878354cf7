#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <span>
#include <utility>

#include "moderngpt2/backend/calls.hpp"
#include "moderngpt2/backend/host.hpp"
#include "moderngpt2/core/memory.hpp"
#include "moderngpt2/distributed/buckets.hpp"
#include "moderngpt2/io/file_hash.hpp"
#include "moderngpt2/io/model_files.hpp"
#include "moderngpt2/io/shared_weights.hpp"
#include "moderngpt2/model/init.hpp"
#include "moderngpt2/model/parameters.hpp"
#include "moderngpt2/training/settings.hpp"
#include "moderngpt2/training/sharded_weights.hpp"

namespace moderngpt2 {

/// The 2-norm of all gradients, summed in double.
template <class B, class Gradients>
double gradient_norm(B& backend, const Gradients& g) {
  return std::sqrt(double(sum_of_squares(backend, g.matrices.data(), g.matrices.size())) +
                   double(sum_of_squares(backend, g.vectors.data(), g.vectors.size())));
}

/// A hash of what ranks have the same of a model, to compare theirs by: all weights, but no matrices where each rank
/// has its own.
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

/// The gradients of a shard's elements: where they lie in buffers of the whole model, or packed as the shard's moments
/// are.
template <class E>
struct ShardGradients {
  ParameterPlaces<E> places;
  bool packed = false;

  const auto* matrices(const distributed::Piece& p) const { return places.matrices + (packed ? p.at : p.offset); }
  const auto* vectors(const distributed::Piece& p) const { return places.vectors + (packed ? p.at : p.offset); }
};

/// AdamW on a shard of a model's parameters (all of them where there is one process): its moments, and its fp32 masters
/// of the matrices where a model computes with rounded ones. Matrices decay, norms and biases do not.
template <class M>
class AdamW {
 public:
  using Gradients = typename M::Gradients;
  using FullWeights = ParameterPlaces<typename M::FullElements>;
  using Master = typename M::FullElements::MatrixType;
  using Masters = FlatBuffer<Master, typename M::Memory>;

  /// The masters begin as the model's weights.
  AdamW(M& model, const TrainingSettings& settings)
      : AdamW(model, settings,
              distributed::Shard::whole(model.weights().matrices.size(), model.weights().vectors.size())) {}
  AdamW(M& model, const TrainingSettings& settings, distributed::Shard shard)
      : first(element_count(shard.matrices), element_count(shard.vectors)),
        second(element_count(shard.matrices), element_count(shard.vectors)),
        shard_(std::move(shard)),
        settings_(settings) {
    if constexpr (M::rounds_weights) {
      masters_ = Masters(first.matrices.size());
      for (const distributed::Piece& p : shard_.matrices)
        cast(model.backend(), masters_.data() + p.at, model.weights().matrices.data() + p.offset, p.length);
    }
  }

  const distributed::Shard& shard() const { return shard_; }
  /// Whether its shard is the whole model.
  bool is_whole(const M& model) const { return first.matrices.size() == model.weights().matrices.size(); }
  /// Of the shard's matrices; empty where the model's are not rounded.
  const Masters& masters() const { return masters_; }
  /// The matrices of a piece of the shard as training keeps them: the masters, or the model's own.
  const Master* kept_matrices(const M& model, const distributed::Piece& p) const {
    if constexpr (M::rounds_weights)
      return masters_.data() + p.at;
    else
      return model.weights().matrices.data() + p.offset;
  }

  /// All weights as training keeps them, to be read, saved or filled, where the backend has them: the masters, or the
  /// model's own. Not for a shard of a model with rounded weights, nor for sharded weights.
  FullWeights full_weights(const M& model) const {
    if constexpr (M::rounds_weights)
      return {masters_.data(), model.weights().vectors.data()};
    else
      return model.weights();
  }

  /// Gives a model fresh weights.
  void initialize(M& model, std::uint64_t seed) {
    if (is_whole(model))
      return edit_full_weights(model, [&](FullWeights full) {
        moderngpt2::initialize(model.backend(), full, model.parameters(), model.config(), seed);
      });
    if (settings_.shards_weights())
      initialize_shard(model, shard_, seed);
    else
      model.initialize(seed);
    if constexpr (M::rounds_weights)
      fill_masters(model,
                   [&](const ParameterInfo& p, std::size_t number, std::int64_t begin, std::int64_t n, auto* to) {
                     initialize_elements(to, p, number, begin, n, model.config(), seed, host_threads(model.backend()));
                   });
  }
  /// Gives it those of a file; nothing of them is rounded away where the file has more digits than the model.
  void load(M& model, const CheckpointTensors& file, const ConfigFile& config) {
    if (is_whole(model))
      return edit_full_weights(
          model, [&](FullWeights full) { load_weights(model.backend(), full, model.parameters(), file, config); });
    if (settings_.shards_weights())
      load_shard(model, shard_, file, config);
    else
      load_weights(model, file, config);
    if constexpr (M::rounds_weights)
      fill_masters(model, [&](const ParameterInfo& p, std::size_t, std::int64_t begin, std::int64_t n, auto* to) {
        file.read_as(file.at(name_in_file(p, config)), to, begin, n);
      });
  }

  /// The same where the file is of a model with another head: see load_shared_weights(). What it lacks is fresh.
  SharedWeights load_shared(M& model, const CheckpointTensors& file, const ConfigFile& config, std::uint64_t seed) {
    SharedWeights shared = find_shared_weights(model.parameters(), file, config);
    initialize(model, seed);
    if (is_whole(model)) {
      edit_full_weights(model, [&](FullWeights full) {
        load_shared_weights(model.backend(), full, model.parameters(), file, config);
      });
      return shared;
    }
    if (settings_.shards_weights())
      load_shared_shard(model, shard_, file, config);
    else
      load_shared_weights(model, file, config);
    if constexpr (M::rounds_weights)
      fill_masters(
          model, [&](const ParameterInfo& p, std::size_t number, std::int64_t begin, std::int64_t n, auto* to) {
            if (const TensorInfo* const info = find_shared(file, config, p))
              file.read_as(*info, to, begin, n);
            else
              initialize_elements(to, p, number, begin, n, model.config(), seed, host_threads(model.backend()));
          });
    return shared;
  }

  /// f(full_weights(model)), which may read and change them; the model gets them.
  template <class F>
  void edit_full_weights(M& model, F&& f) {
    f(full_weights(model));
    round_weights(model);
  }

  struct Outcome {
    double grad_norm = 0;  ///< before clipping
    bool applied = false;  ///< false: the norm was not finite, and nothing has changed
  };

  /// Clips, and updates weights and moments, of a whole model.
  Outcome step(M& model, const Gradients& gradients, double learning_rate) {
    const double norm = gradient_norm(model.backend(), gradients);
    if (!std::isfinite(norm)) return {norm, false};
    update(model, {{gradients.matrices.data(), gradients.vectors.data()}},
           {.learning_rate = learning_rate, .gradient_scale = rule().gradient_scale(norm)}, [](std::size_t) {});
    ++updates;
    return {norm, true};
  }

  /// By which gradients that are `loss_scale` times too large are clipped.
  UpdateRule rule(double loss_scale = 1) const {
    return {.max_grad_norm = settings_.max_grad_norm, .loss_scale = loss_scale};
  }

  /// Adds the squares of a shard's gradients to the sums of a step.
  template <class Sums>
  void add_squares(M& model, const ShardGradients<typename M::FullElements>& gradients, Sums& sums) const {
    for (const distributed::Piece& p : shard_.matrices)
      sums.add_squares(model.backend(), gradients.matrices(p), p.length);
    for (const distributed::Piece& p : shard_.vectors)
      sums.add_squares(model.backend(), gradients.vectors(p), p.length);
  }

  /// Updates the shard's weights and moments, with the learning rate of `call` and its scale of the gradients, or the
  /// decision on both that and whether. `updated(i)` is called when piece i is done, in the numbers of which those of
  /// the matrices come first; but norms and biases are done first, which whoever waits for new weights needs all the
  /// time. Who knows that the step was applied counts it in `updates`.
  template <class Updated>
  void update(M& model, const ShardGradients<typename M::FullElements>& gradients, AdamWStep call, Updated&& updated) {
    call.beta1 = settings_.adam_beta1, call.beta2 = settings_.adam_beta2;
    call.epsilon = settings_.adam_epsilon, call.weight_decay = 0;
    call.step = updates + 1;
    auto& b = model.backend();
    std::size_t done = shard_.matrices.size();
    for (const distributed::Piece& p : shard_.vectors) {
      adamw(b, model.weights().vectors.data() + p.offset, first.vectors.data() + p.at, second.vectors.data() + p.at,
            gradients.vectors(p), p.length, call);
      updated(done++);
    }
    call.weight_decay = settings_.weight_decay, done = 0;
    for (const distributed::Piece& p : shard_.matrices) {
      auto* const weights = model.weights().matrices.data() + p.offset;
      Master *const m = first.matrices.data() + p.at, *const v = second.matrices.data() + p.at;
      if constexpr (M::rounds_weights)
        adamw(b, masters_.data() + p.at, m, v, gradients.matrices(p), p.length, call, weights);
      else
        adamw(b, weights, m, v, gradients.matrices(p), p.length, call);
      updated(done++);
    }
  }

  Gradients first, second;   ///< exp_avg and exp_avg_sq of the shard's parameters
  std::int64_t updates = 0;  ///< steps applied, for the bias correction of the next one

 private:
  /// Gives a model its rounded matrices after the masters were filled.
  void round_weights(M& model) const {
    if constexpr (M::rounds_weights)
      cast(model.backend(), model.weights().matrices.data(), masters_.data(), masters_.size());
  }

  /// fill(parameter, its place in the list, first element of it, count, masters of these on the host) for all of the
  /// shard.
  template <class Fill>
  void fill_masters(M& model, Fill&& fill) {
    for_matrices_of_shard(model, shard_,
                          [&](const ParameterInfo& info, std::size_t number, std::int64_t first, std::int64_t n,
                              const distributed::Piece& p, std::int64_t at) {
                            write_pieces(model.backend(), masters_.data() + p.at + at - p.offset, n,
                                         [&](std::int64_t done, std::int64_t count, Master* to) {
                                           fill(info, number, first + done, count, to);
                                         });
                          });
  }

  Masters masters_;
  distributed::Shard shard_;
  TrainingSettings settings_;
};

}  // namespace moderngpt2
