#pragma once

#include "moderngpt2/backend/cuda/runtime.hpp"
#include "moderngpt2/core/dtype.hpp"
#include "moderngpt2/core/view.hpp"

// Entries of kernels/rotary.cuh: plain data, all pointers to GPU memory.
namespace moderngpt2::cuda {

/// Turns every pair (x[i], x[i + D/2]) of every head by the angle of its row's position past + row % time, in place;
/// the result is times `scale`.
template <class T>
struct Rotary {
  Rows<T> heads;               ///< (BT,HD)
  const float *cosine, *sine;  ///< (positions, D/2)
  int half;                    ///< D/2
  int time, past;
  float scale;
  bool back;  ///< by the negative angle: the backward pass

  void launch(cudaStream_t stream) const;
};

}  // namespace moderngpt2::cuda
