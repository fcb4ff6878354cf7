#pragma once

#include "moderngpt2/backend/cuda/kernels/attention_rows.hpp"

// Entries of kernels/flash_attention_backward.cuh: plain data, all pointers to GPU memory.
namespace moderngpt2::cuda {

/// On matrix units, for elements of 16 bits: a block an own tile of queries for dq, then one an own tile of keys for dk
/// and dv, so that no two add to the same gradient. Queries that see only padding get and give 0.
template <class T>
struct FlashAttentionBackward {
  AttentionInputs<T> in;
  Rows<T> dq, dk, dv;
  Rows<const T> d_o;
  const float *lse, *mean;  ///< (B,H,T); mean = o . do
  bool in_packs = false;    ///< set by launch

  void launch(cudaStream_t stream) const;
};

}  // namespace moderngpt2::cuda
