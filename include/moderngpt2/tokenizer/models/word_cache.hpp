#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "moderngpt2/tokenizer/models/segment_cache.hpp"

namespace moderngpt2::detail {

/// Per-thread cache of a model whose pieces are words. A copy of a model shares its entries.
class WordCache {
 public:
  /// Appends the ids of `piece`: from the cache, or as `compute(piece, ids)` appends them.
  template <class Compute>
  void encode(std::string_view piece, std::vector<int>& ids, Compute&& compute) const {
    if (piece.size() > SegmentCache::longest_segment || number_ >= SegmentCache::most_models)
      return compute(piece, ids);
    const SegmentCache::Key key(piece, piece.size());
    SegmentCache::Place& place = SegmentCache::of_this_thread()(key, number_);
    if (place.holds(key, number_)) {
      ids.insert(ids.end(), place.ids(), place.ids() + place.count());
      return;
    }
    const std::size_t before = ids.size();
    compute(piece, ids);
    place.store(key, number_, std::span(ids).subspan(before));
  }

 private:
  std::uint32_t number_ = SegmentCache::next_model();
};

}  // namespace moderngpt2::detail
