#pragma once

#include <algorithm>
#include <cstdint>

#include "moderngpt2/backend/cpu/gemm.hpp"
#include "moderngpt2/core/memory.hpp"
#include "moderngpt2/core/parallel.hpp"

namespace moderngpt2::cpu {

/// Threads and scratch memory of the CPU operations. The scratch is reserved once from the plan of the model
/// (cpu/scratch.hpp), so that nothing is allocated in a step; an operation called on its own lets it grow.
class Backend {
 public:
  static constexpr const char* name = "cpu";

  explicit Backend(int threads = available_threads()) : threads_(std::max(threads, 1)) {}

  int threads() const { return threads_; }
  std::size_t scratch_bytes() const { return scratch_.size() + product_scratch_.size(); }

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
  PreparedProducts products_;
#endif
};

}  // namespace moderngpt2::cpu
