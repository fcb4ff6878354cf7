#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>
#include <utility>
#include <vector>

#include "moderngpt2/distributed/buckets.hpp"

namespace moderngpt2::distributed {

/// Which buckets hold the matrices of each unit: mostly its own and the one before, in which its first elements lie.
class UnitBuckets {
 public:
  /// `unit_begins`: of every unit, ascending, from the embedding to the head.
  UnitBuckets(const Layout& layout, std::span<const std::pair<int, std::int64_t>> unit_begins,
              bool head_reads_embedding)
      : sizes_(), of_unit_(unit_begins.size()) {
    const auto& buckets = layout.matrices();
    for (const Bucket& bucket : buckets) sizes_.push_back(bucket.end - bucket.begin);
    for (std::size_t unit = 0; unit < unit_begins.size(); ++unit) {
      const std::int64_t begin = unit_begins[unit].second;
      const std::int64_t end = unit + 1 < unit_begins.size() ? unit_begins[unit + 1].second : buckets.back().end;
      for (std::size_t i = 0; i < buckets.size(); ++i)
        if (std::max(begin, buckets[i].begin) < std::min(end, buckets[i].end)) of_unit_[unit].push_back(i);
    }
    if (!head_reads_embedding) return;
    std::vector<std::size_t>& head = of_unit_.back();
    head.insert(head.begin(), of_unit_.front().begin(), of_unit_.front().end());
    std::sort(head.begin(), head.end());
    head.erase(std::unique(head.begin(), head.end()), head.end());
  }

  /// Of unit 0 .. head(), ascending; none for a negative one.
  std::span<const std::size_t> of(int unit) const {
    return unit < 0 ? std::span<const std::size_t>() : of_unit_[std::size_t(unit)];
  }
  bool has(int unit, std::size_t bucket) const {
    return std::find(of(unit).begin(), of(unit).end(), bucket) != of(unit).end();
  }
  int head() const { return int(of_unit_.size()) - 1; }
  /// Of the buckets of two units together.
  std::int64_t elements(int unit, int other) const {
    std::int64_t sum = 0;
    for (const std::size_t i : of(unit)) sum += sizes_[i];
    for (const std::size_t i : of(other)) sum += has(unit, i) ? 0 : sizes_[i];
    return sum;
  }

 private:
  std::vector<std::int64_t> sizes_;  // of buckets
  std::vector<std::vector<std::size_t>> of_unit_;
};

}  // namespace moderngpt2::distributed
