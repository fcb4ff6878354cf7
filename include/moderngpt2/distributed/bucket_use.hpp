#pragma once

#include <cstddef>
#include <cstdint>

#include "moderngpt2/core/partial_use.hpp"
#include "moderngpt2/distributed/buckets.hpp"

namespace moderngpt2::distributed {

inline PartialUse::Range byte_range(std::int64_t begin, std::int64_t end, std::size_t element_bytes) {
  return {std::size_t(begin) * element_bytes, std::size_t(end) * element_bytes};
}

/// What of the buffer of gradients of matrices is in use when, from ZeRO stage 2 on: the embedding's all the time; of
/// the others the bucket that a backward pass fills, the one before, in which the first elements of its first unit lie,
/// and two after it that are being summed.
inline PartialUse gradient_memory_use(const Layout& layout, std::size_t element_bytes) {
  PartialUse use{.kept = {}, .parts = {}, .resident_parts = 4};
  for (const Bucket& b : layout.matrices())
    (b.unit == 0 ? use.kept : use.parts).push_back(byte_range(b.begin, b.end, element_bytes));
  return use;
}

/// The same of a rank's matrices in stage 3, by a Layout::by_unit(): its slices and the embedding all the time; of the
/// others those of a unit and the next one, each in its own bucket and the one before. Since a gathering waits for the
/// kernels before it, its bucket may have the memory of the one that the last unit left.
inline PartialUse weight_memory_use(const Layout& layout, int rank, std::size_t element_bytes) {
  PartialUse use{.kept = {}, .parts = {}, .resident_parts = 3};
  for (const Bucket& b : layout.matrices()) {
    const std::int64_t slice = layout.slice(b), own = b.begin + rank * slice;
    if (b.unit == 0) {
      use.kept.push_back(byte_range(b.begin, b.end, element_bytes));
    } else {
      use.kept.push_back(byte_range(own, own + slice, element_bytes));
      use.parts.push_back(byte_range(b.begin, b.end, element_bytes));
    }
  }
  return use;
}

}  // namespace moderngpt2::distributed
