#pragma once

#include <cstdint>

#include "moderngpt2/backend/cuda/backend.hpp"
#include "moderngpt2/backend/cuda/kernels/gradient_hash.cuh"
#include "moderngpt2/core/abi.hpp"

namespace moderngpt2::cuda::inline MODERNGPT2_CUDA_ABI {

/// Hash of gradients, computed in GPU memory; see distributed/gradient_hash.hpp. Only value() waits for the GPU.
/// Threads: one at a time.
class GradientHash {
 public:
  explicit GradientHash(Backend&) : host_(1), device_(1) {}

  void begin(Backend& b) {
    fill_bytes(b.stream(), device_.data(), 0, sizeof(unsigned long long));
    position_ = 0;
  }
  template <class T>
  void add(Backend& b, const T* x, std::int64_t n) {
    if (n == 0) return;
    HashElements<T>{.x = x, .n = n, .first = position_, .hash = device_.data()}.launch(b.stream());
    position_ += n;
  }
  std::uint64_t value(Backend& b) const {
    copy(b.stream(), host_.data(), static_cast<const unsigned long long*>(device_.data()), 1);
    b.synchronize();
    return *host_.data();
  }

 private:
  std::int64_t position_ = 0;  // number of elements added
  PinnedArray<unsigned long long> host_;
  DeviceArray<unsigned long long> device_;
};

}  // namespace moderngpt2::cuda::inline MODERNGPT2_CUDA_ABI
