#pragma once

#include <algorithm>
#include <cstdint>
#include <vector>

#include "moderngpt2/backend/cpu/gemm.hpp"
#include "moderngpt2/core/memory.hpp"
#include "moderngpt2/core/parallel.hpp"

namespace moderngpt2::cpu {

/// Threads and scratch memory of the CPU operations. The scratch is reserved once from the plan of the model
/// (cpu/scratch.hpp), so that nothing is allocated in a step; an operation called on its own lets it grow.
class Backend {
 public:
  static constexpr const char* name = "cpu";

  explicit Backend(int threads = available_threads()) : threads_(std::max(threads, 1)) {
#ifdef MODERNGPT2_HAVE_ONEDNN
    of_thread_.resize(std::size_t(threads_));
#endif
  }

  int threads() const { return threads_; }
  std::size_t scratch_bytes() const {
    std::size_t bytes = scratch_.size() + product_scratch_.size();
#ifdef MODERNGPT2_HAVE_ONEDNN
    for (const OfThread& own : of_thread_) bytes += own.scratchpad.size();
#endif
    return bytes;
  }

  /// Memory for one operation; its content is lost at the next.
  template <class T>
  T* scratch(std::int64_t count) {
    return take<T>(scratch_, count);
  }
  /// Memory for one matrix product, beside that of the operation it is a part of.
  template <class T>
  T* product_scratch(std::int64_t count) {
    return take<T>(product_scratch_, count);
  }
#ifdef MODERNGPT2_HAVE_ONEDNN
  PreparedProducts& products() { return products_; }
  /// Products that one thread of a parallel region runs by itself, and what they need beside their operands.
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
  struct OfThread {
    PreparedProducts products;
    AlignedBuffer scratchpad;
  };
  PreparedProducts products_;
  std::vector<OfThread> of_thread_;
#endif
};

}  // namespace moderngpt2::cpu
