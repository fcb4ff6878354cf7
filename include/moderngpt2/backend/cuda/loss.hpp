#pragma once

#include "moderngpt2/backend/cuda/kernels/optimizer.cuh"
#include "moderngpt2/backend/cuda/memory.hpp"
#include "moderngpt2/backend/cuda/stream.hpp"
#include "moderngpt2/core/abi.hpp"
#include "moderngpt2/core/error.hpp"

namespace moderngpt2::cuda::inline MODERNGPT2_CUDA_ABI {

/// Loss whose value is still being computed on the GPU: a weighted sum of up to max_terms numbers in GPU memory.
/// Converting it to double waits for the stream. Valid until the backend has computed LossMemory::slots further losses.
class Loss {
 public:
  static constexpr int max_terms = AddLosses<double>::max_terms;
  struct Term {
    const double* at;
    double factor;
  };

  Loss() = default;  ///< zero
  Loss(cudaStream_t stream, const double* at) : stream_(stream), count_(1), terms_{{at, 1}} {}

  int count() const { return count_; }
  const Term& term(int i) const { return terms_[i]; }

  friend Loss operator*(Loss loss, double factor) {
    for (int i = 0; i < loss.count_; ++i) loss.terms_[i].factor *= factor;
    return loss;
  }
  friend Loss operator+(Loss a, const Loss& b) {
    if (b.count_ > 0) a.stream_ = b.stream_;
    for (int i = 0; i < b.count_; ++i) {
      if (a.count_ == max_terms) throw Error("internal: a loss on a GPU has at most {} terms", max_terms);
      a.terms_[a.count_++] = b.terms_[i];
    }
    return a;
  }
  /// Returns the value of the loss. Waits for the stream.
  explicit operator double() const {
    if (count_ == 0) return 0;
    double values[max_terms] = {}, sum = 0;
    for (int i = 0; i < count_; ++i) copy(stream_, values + i, terms_[i].at, 1);
    check(cudaStreamSynchronize(stream_), "cudaStreamSynchronize");
    for (int i = 0; i < count_; ++i) sum += values[i] * terms_[i].factor;
    return sum;
  }

 private:
  cudaStream_t stream_ = nullptr;
  int count_ = 0;
  Term terms_[max_terms] = {};
};

/// Ring of GPU memory slots that receive losses. Threads: one at a time.
class LossMemory {
 public:
  static constexpr int slots = 8;

  /// Returns the slot for the next loss: a number in GPU memory, reused after `slots` calls.
  double* next() {
    next_ = (next_ + 1) % slots;
    return numbers_.data() + next_;
  }

 private:
  DeviceArray<double> numbers_{slots};
  int next_ = 0;
};

}  // namespace moderngpt2::cuda::inline MODERNGPT2_CUDA_ABI
