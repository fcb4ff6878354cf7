#pragma once

#include <cstddef>
#include <string>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include "moderngpt2/distributed/buckets.hpp"
#include "moderngpt2/distributed/communicator.hpp"
#include "moderngpt2/distributed/unit_buckets.hpp"
#include "moderngpt2/model/unit.hpp"
#include "moderngpt2/model/weight_source.hpp"

namespace moderngpt2::distributed {

/// The way of new weights from the ranks that updated them to all others (ZeRO, Rajbhandari et al. 2020).
///   stage 0: none, every rank updates all
///   stages 1, 2: the next pass waits for those of each unit when it needs them; the others are on their way meanwhile
///   stage 3: norms and biases only, since passes gather matrices (ParameterExchange)
/// Who reads weights other than by passes calls finish() first. Weights: ParameterBuffers, which `ranks` must reach.
template <class Weights>
class UpdateExchange final : public WeightSource {
 public:
  UpdateExchange(CommunicatorBase& ranks, Layout layout, UnitBuckets units, int stage, Weights& weights)
      : ranks_(ranks),
        layout_(std::move(layout)),
        units_(std::move(units)),
        stage_(ranks.size() > 1 ? stage : 0),
        weights_(weights) {
    for (std::size_t i = 0; i < layout_.matrices().size(); ++i)
      names_.push_back(fmt::format("all-gather of bucket {}", i));
    names_.push_back("all-gather of norms and biases");
    requests_.resize(names_.size());
  }

  /// Begins to give all ranks piece i of this rank's shard: those of the matrices in order, then the vectors.
  void start(std::size_t i) {
    if (stage_ == 0) return;
    if (i == layout_.matrices().size())
      requests_[i] = gather(weights_.vectors.data(), layout_.vectors(), i);
    else if (stage_ < 3)
      requests_[i] = gather(weights_.matrices.data(), layout_.matrices()[i], i);
  }

  void acquire(Unit unit, Unit) override {
    for (Request& request : requests_) (void)request.done();  // gives the library time to go on
    requests_.back().wait();                                  // every unit has norms
    for (const std::size_t i : units_.of(unit)) requests_[i].wait();
  }

  /// Returns when all new weights are there.
  void finish() {
    for (Request& request : requests_) request.wait();
  }

 private:
  template <class T>
  Request gather(T* data, const Bucket& bucket, std::size_t i) {
    return ranks_.all_gather(data + bucket.begin, layout_.slice(bucket), names_[i].c_str());
  }

  CommunicatorBase& ranks_;
  Layout layout_;
  UnitBuckets units_;
  int stage_;
  Weights& weights_;
  std::vector<std::string> names_;
  std::vector<Request> requests_;  // one for each bucket of matrices, then the vectors
};

}  // namespace moderngpt2::distributed
