#pragma once

#include <algorithm>
#include <cstdint>

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
  std::size_t scratch_bytes() const { return scratch_.size(); }

  void reserve(std::size_t bytes) {
    if (bytes > scratch_.size()) scratch_ = AlignedBuffer(bytes);
  }
  /// Memory for one operation; its content is lost at the next.
  template <class T>
  T* scratch(std::int64_t count) {
    reserve(std::size_t(count) * sizeof(T));
    return reinterpret_cast<T*>(scratch_.data());
  }

 private:
  int threads_;
  AlignedBuffer scratch_;
};

}  // namespace moderngpt2::cpu
