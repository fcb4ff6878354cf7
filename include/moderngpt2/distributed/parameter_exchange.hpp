#pragma once

#include <cstddef>
#include <cstdint>
#include <cstdlib>
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
#include "moderngpt2/model/weight_source.hpp"

namespace moderngpt2::distributed {

/// The matrices of a model of which each rank keeps its slice of every bucket (ZeRO stage 3, Rajbhandari et al. 2020).
/// Passes get those of a unit gathered, while those of the next are on their way; memory of what neither needs is given
/// back to the system, or used for others. T: elements.
template <class T, class Backend>
class ParameterExchange final : public WeightSource {
 public:
  using Matrices = FlatBuffer<T, memory_of<Backend>>;

  /// `matrices`: the flat buffer, of which this rank's slices count and the rest is forgotten. `device_ranks` are the
  /// same ranks, which reach its memory.
  ParameterExchange(CommunicatorBase& ranks, CommunicatorBase& device_ranks, Backend& backend, Layout layout,
                    UnitBuckets units, Matrices& matrices)
      : ranks_(ranks),
        device_ranks_(device_ranks),
        backend_(backend),
        layout_(std::move(layout)),
        units_(std::move(units)),
        matrices_(matrices.data()),
        is_here_(layout_.matrices().size(), true),
        under_way_(layout_.matrices().size()) {
    commit_memory(backend_, matrices, weight_memory_use(layout_, ranks_.rank(), sizeof(T)));
    for (std::size_t i = 0; i < is_here_.size(); ++i) names_.push_back(fmt::format("all-gather of bucket {}", i));
    bring(nothing, nothing);
  }

  void need(int unit, int next) override {
    if (leads_) (void)tell({unit, next});
    bring(unit, next);
  }

  bool is_sharded() const override { return true; }

  /// Runs f() on rank 0, where it may make any passes; the others bring what these need until it is done.
  template <class F>
  void lead(F&& f) {
    if (ranks_.rank() == 0) {
      leads_ = true;
      f();
      leads_ = false;
      (void)tell(the_end);
    } else {
      for (Needed needed = tell({}); needed != the_end; needed = tell({})) bring(needed.unit, needed.next);
    }
    bring(nothing, nothing);
  }

 private:
  struct Needed {
    int unit = nothing, next = nothing;

    bool operator==(const Needed&) const = default;
  };
  static constexpr Needed the_end{-2, -2};

  /// What rank 0 says, on all ranks.
  Needed tell(Needed needed) {
    ranks_.broadcast(&needed, 1, 0, "what the first process needs").wait();
    return needed;
  }

  void bring(int unit, int next) {
    for (std::size_t i = 0; i < is_here_.size(); ++i)
      if (is_here_[i] && !units_.has(unit, i) && !units_.has(next, i)) drop(i);
    if (unit >= 0 && next >= 0 && std::abs(unit - next) != 1)
      throw Error("internal: units {} and {} are not neighbours", unit, next);
    for (const int u : {unit, next})
      for (const std::size_t i : units_.of(u)) gather(i);
    for (const std::size_t i : units_.of(unit)) under_way_[i].wait();
  }
  void gather(std::size_t i) {
    if (is_here_[i]) return;
    const Bucket& bucket = layout_.matrices()[i];
    under_way_[i] = device_ranks_.all_gather(matrices_ + bucket.begin, layout_.slice(bucket), names_[i].c_str());
    is_here_[i] = true;
  }
  /// Leaves this rank's slice.
  void drop(std::size_t i) {
    under_way_[i].wait();
    is_here_[i] = false;
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
  std::vector<bool> is_here_;  // gathered, or under way
  std::vector<Request> under_way_;
  std::vector<std::string> names_;
  bool leads_ = false;
};

}  // namespace moderngpt2::distributed
