#pragma once

#include <cstdint>

#include "moderngpt2/backend/cuda/kernels/dropout.hpp"
#include "moderngpt2/backend/cuda/runtime.hpp"
#include "moderngpt2/core/dtype.hpp"
#include "moderngpt2/core/view.hpp"

// Entries of kernels/norm.cuh: plain data, all pointers to GPU memory. Rows are views (N,C) with strides of their own.
namespace moderngpt2::cuda {

/// Gradients of gains are summed over this many fixed groups of rows, then over the groups in order: the same bits on
/// any GPU. Enough groups to fill one.
inline constexpr int norm_partitions = 512;
inline int norm_parts(int rows) { return rows < norm_partitions ? rows : norm_partitions; }

/// u = x rstd (1 + w)
template <class T>
struct RmsNorm {
  Rows<T> u;
  Rows<const T> x;
  const float* w;  ///< (C)
  float eps;

  void launch(cudaStream_t stream) const;
};

/// dx (+)= gradient of x; dw += gradient of w.
template <class T>
struct RmsNormBackward {
  Rows<T> dx;
  Rows<const T> du, x;
  const float* w;  ///< (C)
  float* dw;       ///< (C)
  float* partial;  ///< scratch (norm_parts, C)
  float eps;
  bool accumulate;

  void launch(cudaStream_t stream) const;
};

/// y: dropout in place; x_out = x + norm(y, post); u = norm(x_out, next)
template <class T>
struct AddNorm {
  Rows<T> x_out, u, y;
  Rows<const T> x;
  const float *post, *next;  ///< (C)
  DropoutSite dropout;
  float eps;
  int time;  ///< rows a sequence

  void launch(cudaStream_t stream) const;
};

/// In: du, and dx by the residual path. Out: dx, dy; dpost, dnext +=. y is as AddNorm left it.
template <class T>
struct AddNormBackward {
  Rows<T> dx, dy;
  Rows<const T> du, x_out, y;
  const float *post, *next;  ///< (C)
  float *dpost, *dnext;      ///< (C)
  float* partial;            ///< scratch (norm_parts, 2, C): dnext, dpost
  DropoutSite dropout;
  float eps;
  int time;

  void launch(cudaStream_t stream) const;
};

}  // namespace moderngpt2::cuda
