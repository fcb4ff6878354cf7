#pragma once

#include <cstdint>

#include "moderngpt2/backend/cuda/runtime.hpp"
#include "moderngpt2/core/dtype.hpp"
#include "moderngpt2/core/view.hpp"

// Entries of kernels/losses.cuh: plain data, all pointers to GPU memory.
namespace moderngpt2::cuda {

/// Where the losses of rows, or of groups of elements, go, and their sum.
struct LossSum {
  float* parts;   ///< (parts of the operation)
  double* total;  ///< one number
  bool add;       ///< to what is there
};

/// Cross-entropy of rows of logits, c tanh(logit / c) first where softcap c > 0; d = scale * its gradient to the
/// logits as they came. An ignored label gives loss 0 and gradient 0.
template <class T>
struct CrossEntropy {
  Rows<T> d;  ///< (N,V); null: none. Its rows may begin where those of the logits do
  Rows<const float> logits;
  const int* labels;  ///< (N)
  float softcap, scale;
  LossSum sum;  ///< parts: (N), the loss of each row

  void launch(cudaStream_t stream) const;
};

enum class ElementLossKind { squared, binary };

/// (logit - target)^2, or the cross-entropy of sigmoid(logit) with a target in [0, 1]; d = scale * its gradient.
template <class T>
struct ElementLoss {
  static constexpr int block_elements = 4096;

  ElementLossKind kind;
  Rows<T> d;  ///< (N,V); null: none
  Rows<const float> logits;
  const float* targets;  ///< (N,V), contiguous
  float scale;
  LossSum sum;  ///< parts: (parts(N * V))

  static int parts(std::int64_t elements) { return int((elements + block_elements - 1) / block_elements); }
  void launch(cudaStream_t stream) const;
};

}  // namespace moderngpt2::cuda
