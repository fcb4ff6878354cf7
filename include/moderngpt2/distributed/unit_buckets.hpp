#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "moderngpt2/distributed/buckets.hpp"
#include "moderngpt2/model/unit.hpp"

namespace moderngpt2::distributed {

/// Map from units to the buckets that hold their matrices: in general a unit's own bucket and the one before, which
/// holds its first elements. Threads: several may read at once.
class UnitBuckets {
 public:
  /// `unit_begins`: Decoder::all_unit_begins. `head_reads_embedding`: the head also uses the buckets of the embedding.
  UnitBuckets(const Layout& layout, std::span<const UnitBegin> unit_begins, bool head_reads_embedding)
      : sizes_(), of_unit_(unit_begins.size()) {
    const auto& buckets = layout.matrices();
    for (const Bucket& bucket : buckets) sizes_.push_back(bucket.end - bucket.begin);
    for (std::size_t unit = 0; unit < unit_begins.size(); ++unit) {
      const std::int64_t begin = unit_begins[unit].begin;
      const std::int64_t end = unit + 1 < unit_begins.size() ? unit_begins[unit + 1].begin : buckets.back().end;
      for (std::size_t i = 0; i < buckets.size(); ++i)
        if (std::max(begin, buckets[i].begin) < std::min(end, buckets[i].end)) of_unit_[unit].push_back(i);
    }
    if (!head_reads_embedding) return;
    std::vector<std::size_t>& head = of_unit_.back();
    head.insert(head.begin(), of_unit_.front().begin(), of_unit_.front().end());
    std::sort(head.begin(), head.end());
    head.erase(std::unique(head.begin(), head.end()), head.end());
  }

  /// Indices of the buckets that hold matrices of a unit, ascending; empty for Unit().
  std::span<const std::size_t> of(Unit unit) const {
    return unit.is_none() ? std::span<const std::size_t>() : of_unit_[std::size_t(unit.index())];
  }
  bool has(Unit unit, std::size_t bucket) const {
    return std::find(of(unit).begin(), of(unit).end(), bucket) != of(unit).end();
  }
  Unit head() const { return Unit::head(int(of_unit_.size()) - 2); }
  /// Number of elements in the buckets of two units; a shared bucket counts once.
  std::int64_t elements(Unit unit, Unit other) const {
    std::int64_t sum = 0;
    for (const std::size_t i : of(unit)) sum += sizes_[i];
    for (const std::size_t i : of(other)) sum += has(unit, i) ? 0 : sizes_[i];
    return sum;
  }

 private:
  std::vector<std::int64_t> sizes_;                // elements of each bucket
  std::vector<std::vector<std::size_t>> of_unit_;  // bucket indices by Unit::index()
};

}  // namespace moderngpt2::distributed
