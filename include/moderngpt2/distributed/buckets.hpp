#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "moderngpt2/core/memory.hpp"
#include "moderngpt2/core/partial_use.hpp"
#include "moderngpt2/model/unit.hpp"

namespace moderngpt2::distributed {

/// Default size of a bucket in elements: 25 MB of fp32 gradients, as in PyTorch's DistributedDataParallel.
inline constexpr std::int64_t default_bucket_elements = 25'000'000 / 4;

/// Granularity of bucket slices, in elements. It aligns slices for any element type.
inline constexpr std::int64_t slice_alignment = 128;

/// Granularity, in elements, to which flat buffers are padded that `ranks` ranks shard; 1 (no padding) for one rank.
constexpr std::int64_t buffer_granule(int ranks) { return ranks > 1 ? ranks * slice_alignment : 1; }

/// Range [begin, end) of a flat buffer, in elements, for one collective: one slice per rank, slice r owned by rank r.
struct Bucket {
  std::int64_t begin = 0, end = 0;
  Unit unit{};  ///< first unit in the bucket, whose gradients a backward pass completes last

  bool operator==(const Bucket&) const = default;
};

/// Elements [offset, offset + length) of a flat buffer, stored at elements [at, at + length) of a shard.
struct Piece {
  std::int64_t offset = 0, length = 0, at = 0;

  bool operator==(const Piece&) const = default;
};

/// Elements of a model's two flat buffers (matrices, vectors) that a rank updates and keeps optimizer state for.
struct Shard {
  std::vector<Piece> matrices, vectors;

  /// Shard of a single process: all elements.
  static Shard whole(std::int64_t matrix_elements, std::int64_t vector_elements) {
    return {{{0, matrix_elements, 0}}, {{0, vector_elements, 0}}};
  }
};

/// Number of elements of all pieces.
constexpr std::int64_t element_count(std::span<const Piece> pieces) {
  return pieces.empty() ? 0 : pieces.back().at + pieces.back().length;
}

/// Calls f(piece, first, count) for the intersection of each piece with elements [offset, offset + length) of the flat
/// buffer: elements [first, first + count) of that buffer.
template <class F>
void for_common_elements(std::span<const Piece> pieces, std::int64_t offset, std::int64_t length, F&& f) {
  for (const Piece& piece : pieces) {
    const std::int64_t first = std::max(piece.offset, offset);
    const std::int64_t end = std::min(piece.offset + piece.length, offset + length);
    if (first < end) f(piece, first, end - first);
  }
}

/// Division of a model's flat buffers into buckets and slices of ranks. Parameters have the same offsets for any number
/// of ranks; only the ends of the buffers are padded. A bucket begins at the first multiple of ranks x slice_alignment
/// at or after the first element of a block, so that its gradients are complete when those of the block are, and
/// collectives work in place. Threads: several may read at once.
class Layout {
 public:
  /// `unit_begins`: units at which a bucket may begin, ascending (Decoder::unit_begins). `matrices`, `vectors`:
  /// elements of the buffers, multiples of buffer_granule(ranks). A bucket ends with the first unit that brings it to
  /// `bucket_elements` or more.
  Layout(std::span<const UnitBegin> unit_begins, std::int64_t matrices, std::int64_t vectors, int ranks,
         std::int64_t bucket_elements = default_bucket_elements)
      : vectors_{0, vectors, Unit()}, ranks_(ranks) {
    const std::int64_t granule = buffer_granule(ranks);
    std::int64_t full = 0;  // a unit that ends before this element joins the current bucket
    for (std::size_t i = 0; i < unit_begins.size(); ++i) {
      const auto [unit, begin] = unit_begins[i];
      const std::int64_t end = i + 1 < unit_begins.size() ? unit_begins[i + 1].begin : matrices;
      if (begin == end || (i > 1 && end <= full)) continue;  // the embedding has a bucket of its own
      full = begin + bucket_elements;
      const std::int64_t at = round_up(begin, granule);
      if (at >= matrices) break;
      if (!matrices_.empty() && matrices_.back().begin == at) matrices_.pop_back();
      if (!matrices_.empty()) matrices_.back().end = at;
      matrices_.push_back({at, matrices, unit});
    }
  }

  /// Layout with one bucket for each unit, for weights that are gathered unit by unit (ZeRO stage 3). `unit_begins`:
  /// Decoder::all_unit_begins. The embedding's bucket is large and holds nothing else; the last elements of the
  /// embedding, fewer than ranks x slice_alignment, are in the bucket of the first half block.
  static Layout by_unit(std::span<const UnitBegin> unit_begins, std::int64_t matrices, std::int64_t vectors,
                        int ranks) {
    Layout layout(unit_begins, matrices, vectors, ranks, 0);
    const std::int64_t rest = unit_begins[1].begin % buffer_granule(ranks);
    if (layout.matrices_.size() == 1 || rest == 0) return layout;
    Bucket &embedding = layout.matrices_[0], &first = layout.matrices_[1];
    embedding.end = first.begin = unit_begins[1].begin - rest;
    first.unit = Unit::embedding();
    if (embedding.begin == embedding.end) layout.matrices_.erase(layout.matrices_.begin());
    return layout;
  }

  /// Buckets of the matrices, in the order of the buffer.
  const std::vector<Bucket>& matrices() const { return matrices_; }
  /// Bucket of the norms and biases.
  const Bucket& vectors() const { return vectors_; }
  int ranks() const { return ranks_; }
  /// Elements of each rank's slice of a bucket.
  std::int64_t slice(const Bucket& bucket) const { return (bucket.end - bucket.begin) / ranks_; }

  /// A rank's shard: its slice of each bucket.
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

inline PartialUse::Range byte_range(std::int64_t begin, std::int64_t end, std::size_t element_bytes) {
  return {std::size_t(begin) * element_bytes, std::size_t(end) * element_bytes};
}

/// Memory use of the gradients of matrices from ZeRO stage 2 on. The embedding's bucket is always resident. Of the
/// other buckets, up to four are resident at a time: the one that a backward pass fills, the one before it (it holds
/// the first elements of the same unit), and two after it that are being reduced.
inline PartialUse gradient_memory_use(const Layout& layout, std::size_t element_bytes) {
  PartialUse use{.kept = {}, .parts = {}, .resident_parts = 4};
  for (const Bucket& b : layout.matrices())
    (b.unit.is_embedding() ? use.kept : use.parts).push_back(byte_range(b.begin, b.end, element_bytes));
  return use;
}

/// Memory use of a rank's matrices in ZeRO stage 3, for a Layout::by_unit(). The rank's slices and the embedding are
/// always resident. Of the other buckets, up to three are resident at a time: the buckets of a unit and of the next one
/// (each unit uses its own bucket and the one before). A gather waits for the kernels queued before it, so that its
/// bucket may reuse the memory of the previous unit.
inline PartialUse weight_memory_use(const Layout& layout, int rank, std::size_t element_bytes) {
  PartialUse use{.kept = {}, .parts = {}, .resident_parts = 3};
  for (const Bucket& b : layout.matrices()) {
    const std::int64_t slice = layout.slice(b), own = b.begin + rank * slice;
    if (b.unit.is_embedding()) {
      use.kept.push_back(byte_range(b.begin, b.end, element_bytes));
    } else {
      use.kept.push_back(byte_range(own, own + slice, element_bytes));
      use.parts.push_back(byte_range(b.begin, b.end, element_bytes));
    }
  }
  return use;
}

}  // namespace moderngpt2::distributed
