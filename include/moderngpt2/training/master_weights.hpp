#pragma once

#include "moderngpt2/backend/calls.hpp"
#include "moderngpt2/core/memory.hpp"
#include "moderngpt2/distributed/buckets.hpp"
#include "moderngpt2/model/parameters.hpp"

namespace moderngpt2 {

/// Full-precision matrices of a shard, for a model that computes with rounded ones. Empty for other models, whose own
/// weights have full precision. Threads: one at a time.
template <class M>
class MasterWeights {
 public:
  using Element = typename M::FullElements::MatrixType;
  using Places = ParameterPlaces<typename M::FullElements>;

  /// No master weights, for models that do not train.
  MasterWeights() = default;
  /// Starts from the model's weights.
  MasterWeights(M& model, const distributed::Shard& shard) {
    if constexpr (M::rounds_weights) {
      buffer_ = FlatBuffer<Element, typename M::Memory>(element_count(shard.matrices));
      for (const distributed::Piece& p : shard.matrices)
        cast(model.backend(), buffer_.data() + p.at, model.weights().matrices.data() + p.offset, p.length);
    }
  }

  /// Master weights in the order of the shard's pieces; empty if the model's own weights have full precision.
  const FlatBuffer<Element, typename M::Memory>& buffer() const { return buffer_; }

  /// Full-precision matrices of a piece of the shard: the masters, or the model's own.
  Element* matrices(const M& model, const distributed::Piece& p) const {
    if constexpr (M::rounds_weights)
      return buffer_.data() + p.at;
    else
      return model.weights().matrices.data() + p.offset;
  }

  /// All weights in full precision, in the backend's memory. Valid only if the shard is the whole model.
  Places all(const M& model) const {
    if constexpr (M::rounds_weights)
      return {buffer_.data(), model.weights().vectors.data()};
    else
      return model.weights();
  }

 private:
  FlatBuffer<Element, typename M::Memory> buffer_;
};

}  // namespace moderngpt2
