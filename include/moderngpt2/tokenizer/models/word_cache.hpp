#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "moderngpt2/tokenizer/models/id_writer.hpp"
#include "moderngpt2/tokenizer/models/segment_cache.hpp"
#include "moderngpt2/tokenizer/pre_tokenizers/piece_batch.hpp"

namespace moderngpt2::detail {

/// Per-thread cache of a model whose pieces are words. A copy of a model shares its entries.
class WordCache {
 public:
  /// Whether a piece can be cached, and has a slot.
  bool takes(std::string_view piece) const { return SegmentCache::takes(piece.size(), number_); }

  /// Slot of a piece; the bytes up to `text_end` can be read.
  SegmentCache::Slot slot(std::string_view piece, const char* text_end, SegmentCache& cache) const {
    return cache.slot({piece.data(), static_cast<std::size_t>(text_end - piece.data())}, piece.size(), number_);
  }

  /// Adds the ids of a piece: from the cache, or as `compute(ids)` appends them.
  template <class Compute>
  void add(std::string_view piece, const SegmentCache::Slot& slot, SegmentCache& cache, IdWriter& out,
           Compute&& compute) const {
    const bool takes_it = takes(piece);
    if (takes_it && cache.add(slot, out)) return;
    std::vector<int>& ids = out.flush();
    const std::size_t before = ids.size();
    compute(ids);
    if (takes_it) cache.store(slot, std::span(ids).subspan(before));
  }

  /// Appends the ids of pieces: from the cache, or as `compute(piece, ids)` appends them.
  template <class Compute>
  void encode(const Pieces& text, std::vector<int>& ids, Compute&& compute) const {
    SegmentCache& cache = SegmentCache::of_this_thread();
    IdWriter out(ids);
    SegmentCache::Slot slots[Pieces::most];
    for (auto rest = text.pieces; !rest.empty();) {
      const auto part = rest.first(std::min(rest.size(), Pieces::most));
      rest = rest.subspan(part.size());
      for (std::size_t i = 0; i < part.size(); ++i)
        if (takes(part[i])) slots[i] = slot(part[i], text.text_end, cache);
      for (std::size_t i = 0; i < part.size(); ++i)
        add(part[i], slots[i], cache, out, [&](std::vector<int>& to) { compute(part[i], to); });
    }
    out.flush();
  }

 private:
  std::uint32_t number_ = SegmentCache::next_model();
};

}  // namespace moderngpt2::detail
