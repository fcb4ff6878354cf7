#pragma once

#include "moderngpt2/backend/cuda/kernels/dropout.hpp"
#include "moderngpt2/backend/cuda/kernels/segments.hpp"
#include "moderngpt2/backend/cuda/runtime.hpp"
#include "moderngpt2/core/dtype.hpp"
#include "moderngpt2/core/view.hpp"

// Entries of kernels/embedding.cuh: plain data, all pointers to GPU memory.
namespace moderngpt2::cuda {

/// x (N,C) = wte[ids] * scale, then dropout
template <class T>
struct Embedding {
  Rows<T> x;
  const int* ids;  ///< (N)
  const T* wte;    ///< (V,C)
  float scale;
  int time;  ///< rows a sequence
  DropoutSite dropout;

  void launch(cudaStream_t stream) const;
};

/// dwte[ids] += dx * mask * scale, in the order of the rows
template <class T>
struct EmbeddingBackward {
  Rows<float> dwte;  ///< (V,C)
  Rows<const T> dx;  ///< (N,C)
  SegmentSort sort;  ///< of the ids
  float scale;
  int time;
  DropoutSite dropout;

  void launch(cudaStream_t stream) const;
};

/// x (N,C) *= mask / (1 - rate)
template <class T>
struct DropRows {
  Rows<T> x;
  int time;
  DropoutSite dropout;

  void launch(cudaStream_t stream) const;
};

}  // namespace moderngpt2::cuda
