#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include "moderngpt2/backend/host.hpp"
#include "moderngpt2/core/error.hpp"
#include "moderngpt2/core/memory.hpp"
#include "moderngpt2/distributed/buckets.hpp"
#include "moderngpt2/distributed/communicator.hpp"
#include "moderngpt2/distributed/unit_buckets.hpp"
#include "moderngpt2/model/unit.hpp"
#include "moderngpt2/model/weight_source.hpp"

namespace moderngpt2::distributed {

/// Sharded matrices of a model: each rank keeps its slice of every bucket (ZeRO stage 3, Rajbhandari et al. 2020).
/// Passes acquire units; the exchange gathers the matrices of a unit, prefetches those of the next, and discards all
/// others (their memory is freed or reused). T: element type. Threads: one at a time.
template <class T, class Backend>
class ParameterExchange final : public WeightSource {
 public:
  using Matrices = FlatBuffer<T, memory_of<Backend>>;

  /// `matrices`: the whole flat buffer; the constructor discards everything but this rank's slices. `device_ranks`:
  /// communicator of the same ranks for its memory (ranks_for_memory_of).
  ParameterExchange(CommunicatorBase& ranks, CommunicatorBase& device_ranks, Backend& backend, Layout layout,
                    UnitBuckets units, Matrices& matrices)
      : ranks_(ranks),
        device_ranks_(device_ranks),
        backend_(backend),
        layout_(std::move(layout)),
        units_(std::move(units)),
        matrices_(matrices.data()),
        is_resident_(layout_.matrices().size(), true),
        requests_(layout_.matrices().size()) {
    commit_memory(backend_, matrices, weight_memory_use(layout_, ranks_.rank(), sizeof(T)));
    for (std::size_t i = 0; i < is_resident_.size(); ++i) names_.push_back(fmt::format("all-gather of bucket {}", i));
    make_resident({});
  }

  void acquire(Unit unit, Unit next) override {
    const Acquired acquired{unit, next};
    if (announces_) (void)announce(acquired);
    make_resident(acquired);
  }

  bool is_sharded() const override { return true; }

  /// Runs f() on rank 0; the other ranks serve the gathers of its passes until it returns. Call it on all ranks.
  template <class F>
  void run_on_rank0(F&& f) {
    if (ranks_.rank() == 0) {
      announces_ = true;
      f();
      announces_ = false;
      (void)announce({.is_end = true});
    } else {
      for (Acquired acquired = announce({}); !acquired.is_end; acquired = announce({})) make_resident(acquired);
    }
    make_resident({});
  }

 private:
  /// Arguments of acquire(), as rank 0 broadcasts them in run_on_rank0().
  struct Acquired {
    Unit unit{}, next{};
    bool is_end = false;  ///< f() of run_on_rank0() has returned
  };

  /// Broadcasts rank 0's argument to all ranks.
  Acquired announce(Acquired acquired) {
    ranks_.broadcast(&acquired, 1, 0, "the units of rank 0's pass").wait();
    return acquired;
  }

  void make_resident(const Acquired& acquired) {
    const auto& [unit, next, is_end] = acquired;
    for (std::size_t i = 0; i < is_resident_.size(); ++i)
      if (is_resident_[i] && !units_.has(unit, i) && !units_.has(next, i)) drop(i);
    if (!unit.is_none() && !next.is_none() && next != unit.next() && next != unit.previous())
      throw Error("internal: units {} and {} are not neighbours", unit.index(), next.index());
    for (const Unit u : {unit, next})
      for (const std::size_t i : units_.of(u)) gather(i);
    for (const std::size_t i : units_.of(unit)) requests_[i].wait();
  }
  void gather(std::size_t i) {
    if (is_resident_[i]) return;
    const Bucket& bucket = layout_.matrices()[i];
    requests_[i] = device_ranks_.all_gather(matrices_ + bucket.begin, layout_.slice(bucket), names_[i].c_str());
    is_resident_[i] = true;
  }
  /// Discards a bucket except for this rank's slice.
  void drop(std::size_t i) {
    requests_[i].wait();
    is_resident_[i] = false;
    const Bucket& bucket = layout_.matrices()[i];
    const std::int64_t own = bucket.begin + ranks_.rank() * layout_.slice(bucket), end = own + layout_.slice(bucket);
    discard(backend_, matrices_ + bucket.begin, own - bucket.begin);
    discard(backend_, matrices_ + end, bucket.end - end);
  }

  CommunicatorBase &ranks_, &device_ranks_;
  Backend& backend_;
  Layout layout_;
  UnitBuckets units_;
  T* matrices_;
  std::vector<bool> is_resident_;  // by bucket: gathered or being gathered
  std::vector<Request> requests_;
  std::vector<std::string> names_;
  bool announces_ = false;
};

}  // namespace moderngpt2::distributed
