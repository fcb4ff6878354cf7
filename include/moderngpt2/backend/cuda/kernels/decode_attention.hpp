#pragma once

#include <cstdint>

#include "moderngpt2/backend/cuda/kernels/attention_rows.hpp"

// Entries of kernels/decode_attention.cuh: plain data, all pointers to GPU memory.
namespace moderngpt2::cuda {

/// Keys of a block.
inline constexpr int decode_chunk = 64;

/// One query a sequence against its cache: the keys are cut into chunks, whose parts are put together in their order. A
/// query that sees only padding gets 0.
template <class T>
struct DecodeAttention {
  AttentionInputs<T> in;
  Rows<T> o;     ///< (B,HD)
  float* parts;  ///< part_floats(in.call)

  static constexpr int chunks(int keys) { return (keys + decode_chunk - 1) / decode_chunk; }
  /// Of a whole cache, so that scratch does not grow with it: each (B,H,chunk) has the largest score, the sum of the
  /// exponentials, and the sum of the values (D).
  static constexpr std::int64_t part_floats(const AttentionCall& call) {
    return std::int64_t(call.batch) * call.n_head * chunks(call.key_rows) * (call.head_dim + 2);
  }
  void launch(cudaStream_t stream) const;
};

}  // namespace moderngpt2::cuda
