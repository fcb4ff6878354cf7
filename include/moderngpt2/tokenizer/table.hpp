#pragma once

#include <cstddef>
#include <limits>
#include <new>
#include <vector>

#include "moderngpt2/core/memory.hpp"

namespace moderngpt2::detail {

/// Allocator of tables that are read at random places: large ones ask for huge pages, because a miss of the TLB costs
/// as much as one of the cache, and more in a virtual machine. Rounds up to whole huge pages.
template <class T>
struct TableAllocator {
  using value_type = T;

  TableAllocator() = default;
  template <class Other>
  TableAllocator(const TableAllocator<Other>&) {}

  T* allocate(std::size_t count) {
    if (count > std::numeric_limits<std::ptrdiff_t>::max() / sizeof(T) - huge_page) throw std::bad_alloc();
    const std::size_t bytes = count * sizeof(T);
    if (bytes < huge_page) return static_cast<T*>(::operator new(bytes, own_alignment(bytes)));
    const std::size_t size = round_up(bytes, huge_page);
    void* data = ::operator new(size, own_alignment(size));
#ifdef MADV_HUGEPAGE
    ::madvise(data, size, MADV_HUGEPAGE);  // on failure, pages keep their default size
#endif
    return static_cast<T*>(data);
  }
  void deallocate(T* data, std::size_t count) { ::operator delete(data, own_alignment(count * sizeof(T))); }

  template <class Other>
  bool operator==(const TableAllocator<Other>&) const {
    return true;
  }

 private:
  static std::align_val_t own_alignment(std::size_t bytes) {
    return std::align_val_t(bytes >= huge_page ? huge_page : alignment);
  }
};

/// Vector for a table that is read at random places.
template <class T>
using Table = std::vector<T, TableAllocator<T>>;

}  // namespace moderngpt2::detail
