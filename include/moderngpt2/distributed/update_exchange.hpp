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

/// All-gathers updated weights from the ranks that updated them (ZeRO, Rajbhandari et al. 2020).
///   stage 0     nothing: every rank updates all weights
///   stages 1, 2 all weights; gathers overlap with the next forward pass, which waits for each unit in acquire()
///   stage 3     norms and biases only; passes gather the matrices (ParameterExchange)
/// Code that reads weights outside of passes must call finish() first. Weights: ParameterBuffers in memory that `ranks`
/// supports. Threads: one at a time.
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

  /// Starts the gather of piece i of the shard: bucket i of the matrices, or the vectors if i is the number of buckets.
  void start(std::size_t i) {
    if (stage_ == 0) return;
    if (i == layout_.matrices().size())
      requests_[i] = gather(weights_.vectors.data(), layout_.vectors(), i);
    else if (stage_ < 3)
      requests_[i] = gather(weights_.matrices.data(), layout_.matrices()[i], i);
  }

  void acquire(Unit unit, Unit) override {
    for (Request& request : requests_) (void)request.done();  // lets the library make progress
    requests_.back().wait();                                  // all units read vectors
    for (const std::size_t i : units_.of(unit)) requests_[i].wait();
  }

  /// Waits for all gathers.
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
