#pragma once

#include <algorithm>
#include <cstdint>
#include <vector>

#include "moderngpt2/backend/cpu/gemm.hpp"
#include "moderngpt2/core/abi.hpp"
#include "moderngpt2/core/memory.hpp"
#include "moderngpt2/core/parallel.hpp"
#include "moderngpt2/core/start_thread.hpp"

namespace moderngpt2::cpu::inline MODERNGPT2_CPU_ABI {

/// Context of the CPU backend: number of threads, and scratch memory. reserve() (cpu/scratch.hpp) allocates the scratch
/// of a model once, so that steps allocate nothing; without it, scratch grows on demand. Threads: one at a time;
/// several share a CPU with a context each (new_context).
class Backend {
 public:
  static constexpr const char* name = "cpu";

  /// Throws an Error if the system refuses to start the threads.
  explicit Backend(int threads = available_threads()) : threads_(std::max(threads, 1)) {
#ifdef _OPENMP
    require_threads(std::min(threads_, moderngpt2::detail::team_limit()));
#endif
#ifdef MODERNGPT2_HAVE_ONEDNN
    of_thread_.resize(std::size_t(threads_));
#endif
  }

  int threads() const { return threads_; }
  std::size_t scratch_bytes() const {
    std::size_t bytes = scratch_.size() + product_scratch_.size();
#ifdef MODERNGPT2_HAVE_ONEDNN
    for (const ThreadProducts& own : of_thread_) bytes += own.scratchpad.size();
#endif
    return bytes;
  }

  /// Scratch for one operation, `count` elements; the next operation overwrites it.
  template <class T>
  T* scratch(std::int64_t count) {
    return take<T>(scratch_, count);
  }
  /// Scratch for one matrix product, separate from that of the operation that calls it.
  template <class T>
  T* product_scratch(std::int64_t count) {
    return take<T>(product_scratch_, count);
  }
#ifdef MODERNGPT2_HAVE_ONEDNN
  PreparedProducts& products() { return products_; }
  /// Prepared products of one thread of a parallel region, and their scratchpad.
  PreparedProducts& tile_products(int thread) { return of_thread_[std::size_t(thread)].products; }
  std::byte* tile_scratchpad(int thread, std::size_t bytes) {
    return take<std::byte>(of_thread_[std::size_t(thread)].scratchpad, std::int64_t(bytes));
  }
#endif

 private:
  template <class T>
  static T* take(AlignedBuffer& buffer, std::int64_t count) {
    const std::size_t bytes = std::size_t(count) * sizeof(T);
    if (bytes > buffer.size()) buffer = AlignedBuffer(bytes);
    return reinterpret_cast<T*>(buffer.data());
  }

  int threads_;
  AlignedBuffer scratch_, product_scratch_;
#ifdef MODERNGPT2_HAVE_ONEDNN
  struct ThreadProducts {
    PreparedProducts products;
    AlignedBuffer scratchpad;
  };
  PreparedProducts products_;
  std::vector<ThreadProducts> of_thread_;
#endif
};

}  // namespace moderngpt2::cpu::inline MODERNGPT2_CPU_ABI
