#pragma once

#include "moderngpt2/model/unit.hpp"

namespace moderngpt2 {

/// Makes weights resident before a pass uses them, for a model whose matrices are not in memory all the time. A head
/// that reads the embedding's matrix is acquired together with it. Threads: one at a time, which the model ensures.
class WeightSource {
 public:
  virtual ~WeightSource() = default;
  /// Returns when the weights of `unit` are resident, and prefetches those of `next` (none: no prefetch). Matrices of
  /// all other units may be discarded; norms and biases are always resident.
  virtual void acquire(Unit unit, Unit next) = 0;
  /// Ends a pass: all matrices may be discarded.
  void release_all() { acquire({}, {}); }
  /// Whether this process holds only a shard of the matrices outside of passes.
  virtual bool is_sharded() const { return false; }
};

/// Sets a model's WeightSource for the lifetime of this object. Threads: one at a time.
template <class M>
class WeightSourceUse {
 public:
  WeightSourceUse(M& model, WeightSource& source) : model_(model) { model_.set_weight_source(&source); }
  ~WeightSourceUse() { model_.set_weight_source(nullptr); }
  WeightSourceUse(const WeightSourceUse&) = delete;
  WeightSourceUse& operator=(const WeightSourceUse&) = delete;

 private:
  M& model_;
};

}  // namespace moderngpt2
