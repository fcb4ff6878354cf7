#pragma once

#include <algorithm>
#include <cstdint>
#include <span>
#include <utility>
#include <vector>

#include "moderngpt2/core/memory.hpp"

namespace moderngpt2::distributed {

/// Elements that a bucket holds about: 25 MB of fp32 gradients.
inline constexpr std::int64_t default_bucket_elements = 25'000'000 / 4;

/// Slices of buckets are multiples of this many elements, so that they are aligned whatever the element type.
inline constexpr std::int64_t slice_alignment = 128;

/// What the sizes of flat buffers are multiples of where `ranks` share them; one rank leaves them as they are.
constexpr std::int64_t buffer_granule(int ranks) { return ranks > 1 ? ranks * slice_alignment : 1; }

/// A range of a flat buffer that one collective operation moves, a whole number of slices. Rank r owns slice r.
struct Bucket {
  std::int64_t begin = 0, end = 0;
  int unit = 0;  ///< the first unit with elements in it: in the backward pass, the last whose gradients get ready

  bool operator==(const Bucket&) const = default;
};

/// Elements [offset, offset + length) of a flat buffer, kept from element `at` of a shard on.
struct Piece {
  std::int64_t offset = 0, length = 0, at = 0;

  bool operator==(const Piece&) const = default;
};

/// Those elements of a model's two flat buffers (matrices, vectors) whose moments a rank keeps and which it updates.
struct Shard {
  std::vector<Piece> matrices, vectors;

  /// Everything, as one process has it.
  static Shard whole(std::int64_t matrix_elements, std::int64_t vector_elements) {
    return {{{0, matrix_elements, 0}}, {{0, vector_elements, 0}}};
  }
};

constexpr std::int64_t element_count(std::span<const Piece> pieces) {
  return pieces.empty() ? 0 : pieces.back().at + pieces.back().length;
}

/// Calls f(piece, first, count) for those `count` elements from `first` on that a range of the flat buffer and a piece
/// have in common; `first` counts in the flat buffer.
template <class F>
void for_common_elements(std::span<const Piece> pieces, std::int64_t offset, std::int64_t length, F&& f) {
  for (const Piece& piece : pieces) {
    const std::int64_t first = std::max(piece.offset, offset);
    const std::int64_t end = std::min(piece.offset + piece.length, offset + length);
    if (first < end) f(piece, first, end - first);
  }
}

/// How the flat buffers of a model lie over ranks. A parameter lies where it lies for one rank, and only the ends of
/// the buffers are padded: a bucket begins at the first multiple of ranks x 128 elements from a block's first element
/// on, so it is complete when the gradients of that block are, and every collective operation works in place.
class Layout {
 public:
  /// `unit_begins`: where in the matrices each block begins in which a bucket may begin, by its unit (0: the embedding,
  /// 1 + k: half block k, last: the head), ascending. Both sizes are multiples of buffer_granule(ranks).
  Layout(std::span<const std::pair<int, std::int64_t>> unit_begins, std::int64_t matrices, std::int64_t vectors,
         int ranks, std::int64_t bucket_elements = default_bucket_elements)
      : vectors_{0, vectors, 0}, ranks_(ranks) {
    const std::int64_t granule = buffer_granule(ranks);
    std::int64_t full = 0;  // where the bucket that is being filled ends at the latest
    for (std::size_t i = 0; i < unit_begins.size(); ++i) {
      const auto [unit, begin] = unit_begins[i];
      const std::int64_t end = i + 1 < unit_begins.size() ? unit_begins[i + 1].second : matrices;
      if (begin == end || (i > 1 && end <= full)) continue;  // the embedding shares its bucket with nobody
      full = begin + bucket_elements;
      const std::int64_t at = round_up(begin, granule);
      if (at >= matrices) break;
      if (!matrices_.empty() && matrices_.back().begin == at) matrices_.pop_back();
      if (!matrices_.empty()) matrices_.back().end = at;
      matrices_.push_back({at, matrices, unit});
    }
  }

  /// Buckets for weights that are gathered unit by unit: `unit_begins` are those of all units, half blocks each, and
  /// the embedding's bucket holds nothing else, for it is large. What is left of it, less than ranks x 128 elements,
  /// lies in that of the first half block.
  static Layout by_unit(std::span<const std::pair<int, std::int64_t>> unit_begins, std::int64_t matrices,
                        std::int64_t vectors, int ranks) {
    Layout layout(unit_begins, matrices, vectors, ranks, 0);
    const std::int64_t rest = unit_begins[1].second % buffer_granule(ranks);
    if (layout.matrices_.size() == 1 || rest == 0) return layout;
    Bucket &embedding = layout.matrices_[0], &first = layout.matrices_[1];
    embedding.end = first.begin = unit_begins[1].second - rest;
    first.unit = 0;
    if (embedding.begin == embedding.end) layout.matrices_.erase(layout.matrices_.begin());
    return layout;
  }

  /// Of the matrices, in the order of the buffer.
  const std::vector<Bucket>& matrices() const { return matrices_; }
  /// The only one of the norms and biases.
  const Bucket& vectors() const { return vectors_; }
  int ranks() const { return ranks_; }
  /// Elements of each rank's slice.
  std::int64_t slice(const Bucket& bucket) const { return (bucket.end - bucket.begin) / ranks_; }

  /// The slices of a rank, one for each bucket.
  Shard shard(int rank) const {
    Shard own;
    std::int64_t at = 0;
    for (const Bucket& bucket : matrices_) {
      own.matrices.push_back({bucket.begin + rank * slice(bucket), slice(bucket), at});
      at += slice(bucket);
    }
    own.vectors.push_back({rank * slice(vectors_), slice(vectors_), 0});
    return own;
  }

 private:
  std::vector<Bucket> matrices_;
  Bucket vectors_;
  int ranks_;
};

}  // namespace moderngpt2::distributed
