#pragma once

#include "moderngpt2/backend/cuda/runtime.hpp"
#include "moderngpt2/core/dtype.hpp"
#include "moderngpt2/core/view.hpp"

// Entry of kernels/column_sum.cuh: plain data, all pointers to GPU memory.
namespace moderngpt2::cuda {

/// Rows are summed in this many fixed groups, then the groups in order: the same bits on any GPU.
inline int column_parts(int rows) {
  const int parts = (rows + 63) / 64;
  return parts < 256 ? parts : 256;
}

/// sums += sum of the rows of x
template <class T>
struct ColumnSum {
  float* sums;      ///< (C)
  Rows<const T> x;  ///< (N,C)
  float* partial;   ///< scratch (column_parts(N), C)

  void launch(cudaStream_t stream) const;
};

}  // namespace moderngpt2::cuda
