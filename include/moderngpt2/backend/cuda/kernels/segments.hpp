#pragma once

#include <cstdint>

// Rows that go to the same place, together and in their order: what makes a sum over them the same bits every time.
namespace moderngpt2::cuda {

/// A stable sort of `count` rows by ids[row], by 8 bits a pass. All pointers are to GPU memory.
struct SegmentSort {
  static constexpr int tile = 1024;  ///< rows a block

  const int* ids;  ///< (count), in [0, bound)
  int count, bound;
  int* scratch;  ///< (scratch_ints)

  int tiles() const { return (count + tile - 1) / tile; }
  int passes() const {
    int n = 1;
    for (int rest = (bound - 1) >> 8; rest > 0; rest >>= 8) ++n;
    return n;
  }
  /// For two orders of the rows and the counts of 256 digits a tile.
  static std::int64_t scratch_ints(int count) {
    return 2 * std::int64_t(count) + 256 * ((std::int64_t(count) + tile - 1) / tile);
  }
  int* order(int n) const { return scratch + std::int64_t(n) * count; }
  int* digits() const { return order(2); }
  /// The rows by id once it is queued: (count).
  int* sorted() const { return order(passes() % 2); }
};

}  // namespace moderngpt2::cuda
