#pragma once

#include <cstdint>

#include "moderngpt2/backend/calls.hpp"
#include "moderngpt2/backend/cuda/device.cuh"
#include "moderngpt2/backend/cuda/kernels/dropout.cuh"
#include "moderngpt2/backend/cuda/runtime.hpp"
#include "moderngpt2/core/abi.hpp"
#include "moderngpt2/core/view.hpp"

// Shared by the attention kernels: inputs, and helpers of those without matrix units (attention_rows*.cuh).
namespace moderngpt2::cuda::inline MODERNGPT2_CUDA_ABI {

/// Maximum head_dim of the attention kernels.
inline constexpr int max_head_dim = 256;

/// Queries that a kernel computes: all, or those whose keys are all padding (see AttentionCall::sees_only_padding).
enum class Queries { all, only_padding };

/// Inputs of forward and backward passes. The pointers of `call` are to GPU memory too.
template <class T>
struct AttentionInputs {
  Rows<const T> q;  ///< (BT,HD)
  Rows<const T> k;  ///< (B key_rows, KD)
  Rows<const T> v;  ///< (B key_rows, KD)
  AttentionCall call;
  DropoutSite dropout;
  float softcap = 0;

  AttentionInputs(Rows<const T> q_, Rows<const T> k_, Rows<const T> v_, const AttentionCall& c)
      : q(q_), k(k_), v(v_), call(c), dropout(c.dropout), softcap(float(c.softcap)) {}
};

#ifdef MODERNGPT2_CUDA_KERNELS

namespace detail {

inline constexpr int row_warps = 4;
inline constexpr int lane_channels = max_head_dim / 32;

struct AttentionRowsMemory {
  float first[row_warps][max_head_dim],
      second[row_warps][max_head_dim];  // one row per warp, for dot products with 32 others
  float p[row_warps][32], ds[row_warps][32];
};

MODERNGPT2_DEVICE int lane() { return int(threadIdx.x) % 32; }

/// Copies a row of n elements to shared memory, by one warp.
template <class T>
MODERNGPT2_DEVICE void copy_row(float* to, const T* from, int n) {
  for (int d = lane(); d < n; d += 32) to[d] = to_float(from[d]);
}

/// Dot product of a row in shared memory with a row in global memory, by one lane.
template <class T>
MODERNGPT2_DEVICE float dot_row(const float* shared_row, const T* row, int n) {
  float sum = 0;
  for (int d = 0; d < n; ++d) sum += shared_row[d] * to_float(row[d]);
  return sum;
}

/// Whether all keys that query t may see are padding: AttentionCall::sees_only_padding, computed by a warp.
MODERNGPT2_DEVICE bool sees_only_padding(const AttentionCall& call, int b, int t) {
  if (!call.key_mask) return false;
  const int end = call.past + t + 1;
  for (int u = call.begin(b, t); u < end; u += 32)
    if (__any_sync(full_mask, u + lane() < end && !call.masked(b, u + lane()))) return false;
  return true;
}

/// Probability of each key of a query whose keys are all padding: 1 / AttentionCall::uniform_fallback_keys, computed by
/// a warp.
MODERNGPT2_DEVICE float uniform_share(const AttentionCall& call, int b, int t) {
  int n = 0;
  for (int u = 0; u < call.keys(); u += 32)
    n += __popc(__ballot_sync(full_mask, u + lane() < call.keys() && call.in_uniform_fallback(b, t, u + lane())));
  return 1.0f / float(n);
}

/// Rows of this block: `each` rows of one head, which has `count` rows. Divisions are of 32 bits, since 64-bit division
/// is a function call, around which registers spill.
struct HeadRows {
  int head, first;  ///< head: b * heads + h; first: first row of the block in that head
  MODERNGPT2_DEVICE HeadRows(int count, int each) {
    const unsigned parts = (unsigned(count) + unsigned(each) - 1) / unsigned(each);
    head = int(blockIdx.x / parts), first = int(blockIdx.x % parts) * each;
  }
};
/// Number of blocks for `heads` heads (over all sequences) of `count` rows, `each` rows per block.
inline unsigned head_blocks(int heads, int count, int each) {
  return unsigned(heads) * unsigned((count + each - 1) / each);
}

/// Row of (B,H,T). `number` is its index, for lse and the like.
struct QueryRow {
  std::int64_t number;
  int b, h, t;
  MODERNGPT2_DEVICE QueryRow(const AttentionCall& call, int head, int t_)
      : number(std::int64_t(head) * call.time + t_), b(head / call.n_head), h(head % call.n_head), t(t_) {}
  /// Row of this warp in kernels with one row per warp.
  MODERNGPT2_DEVICE explicit QueryRow(const AttentionCall& call) : QueryRow(call, HeadRows(call.time, row_warps)) {}

 private:
  MODERNGPT2_DEVICE QueryRow(const AttentionCall& call, const HeadRows& rows)
      : QueryRow(call, rows.head, rows.first + int(threadIdx.x) / 32) {}
};

/// Number of blocks for kernels with one query per warp.
inline unsigned query_blocks(const AttentionCall& call) {
  return head_blocks(call.batch * call.n_head, call.time, row_warps);
}

}  // namespace detail

#endif  // MODERNGPT2_CUDA_KERNELS

}  // namespace moderngpt2::cuda::inline MODERNGPT2_CUDA_ABI
