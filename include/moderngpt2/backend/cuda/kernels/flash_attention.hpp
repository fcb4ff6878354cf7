#pragma once

#include "moderngpt2/backend/cuda/kernels/attention_rows.hpp"

// Entries of kernels/flash_attention.cuh: plain data, all pointers to GPU memory.
namespace moderngpt2::cuda {

/// On matrix units, for elements of 16 bits. A query that sees only padding gets 0 and an lse of infinity.
template <class T>
struct FlashAttention {
  AttentionInputs<T> in;
  Rows<T> o;              ///< (BT,HD)
  float* lse;             ///< (B,H,T) or null
  bool in_packs = false;  ///< set by launch

  void launch(cudaStream_t stream) const;
};

}  // namespace moderngpt2::cuda
