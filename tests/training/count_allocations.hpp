#pragma once

#include <cstdint>

namespace moderngpt2::test {

/// Calls of operator new so far in this program, by any thread, but for those made within a matrix product.
std::int64_t allocations();

/// Counts from where it is made.
struct AllocationCount {
  std::int64_t before = allocations();
  std::int64_t since() const { return allocations() - before; }
};

}  // namespace moderngpt2::test
