#pragma once

#include "moderngpt2/backend/cuda/kernels/segments.hpp"
#include "moderngpt2/backend/cuda/runtime.hpp"
#include "moderngpt2/core/dtype.hpp"
#include "moderngpt2/core/view.hpp"

// Entries of kernels/rows.cuh: plain data, all pointers to GPU memory.
namespace moderngpt2::cuda {

/// out (n,C) = x[index]
template <class T>
struct GatherRows {
  Rows<T> out;
  Rows<const T> x;
  const int* index;  ///< (n)

  void launch(cudaStream_t stream) const;
};

/// dx[index] += dout (n,C), in the order of its rows, rounded to T once
template <class T>
struct ScatterRowsAdd {
  Rows<T> dx;
  Rows<const T> dout;
  SegmentSort sort;  ///< of the index

  void launch(cudaStream_t stream) const;
};

}  // namespace moderngpt2::cuda
