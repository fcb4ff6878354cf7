#pragma once

#include <cstdint>

#include "moderngpt2/backend/calls.hpp"
#include "moderngpt2/backend/cuda/device.cuh"
#include "moderngpt2/backend/cuda/kernels/dropout.cuh"
#include "moderngpt2/backend/cuda/runtime.hpp"
#include "moderngpt2/core/view.hpp"

// Entries of kernels/attention_rows.cuh: plain data, all pointers to GPU memory, those of `call` too.
namespace moderngpt2::cuda {

/// Most channels of a head.
inline constexpr int max_head_dim = 256;

/// Which queries a kernel serves: all, or those that see only padding (their even shares, AttentionCall).
enum class Queries { all, only_padding };

/// What forward and backward passes take.
template <class T>
struct AttentionInputs {
  Rows<const T> q;  ///< (BT,HD)
  Rows<const T> k;  ///< (B key_rows, KD)
  Rows<const T> v;
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
  float first[row_warps][max_head_dim], second[row_warps][max_head_dim];  // rows that are multiplied by 32 others
  float p[row_warps][32], ds[row_warps][32];
};

MODERNGPT2_DEVICE int lane() { return int(threadIdx.x) % 32; }

/// A row to shared memory, by its warp.
template <class T>
MODERNGPT2_DEVICE void copy_row(float* to, const T* from, int n) {
  for (int d = lane(); d < n; d += 32) to[d] = to_float(from[d]);
}

template <class T>
MODERNGPT2_DEVICE float dot_row(const float* shared_row, const T* row, int n) {
  float sum = 0;
  for (int d = 0; d < n; ++d) sum += shared_row[d] * to_float(row[d]);
  return sum;
}

/// Whether all keys that query t may see are padding: AttentionCall::sees_only_padding by a warp.
MODERNGPT2_DEVICE bool sees_only_padding(const AttentionCall& call, int b, int t) {
  if (!call.key_mask) return false;
  const int end = call.past + t + 1;
  for (int u = call.begin(b, t); u < end; u += 32)
    if (__any_sync(full_mask, u + lane() < end && !call.masked(b, u + lane()))) return false;
  return true;
}

/// AttentionCall::even_share by a warp, inverted.
MODERNGPT2_DEVICE float even_share(const AttentionCall& call, int b, int t) {
  int n = 0;
  for (int u = 0; u < call.keys(); u += 32)
    n += __popc(__ballot_sync(full_mask, u + lane() < call.keys() && call.in_even_share(b, t, u + lane())));
  return 1.0f / float(n);
}

/// Which part of `each` rows of the heads' rows this block has, `count` rows a head. No division is of 64 bits: it
/// would be a call, around which registers spill.
struct HeadRows {
  int head, first;  ///< b * heads + h; row of that head
  MODERNGPT2_DEVICE HeadRows(int count, int each) {
    const unsigned parts = (unsigned(count) + unsigned(each) - 1) / unsigned(each);
    head = int(blockIdx.x / parts), first = int(blockIdx.x % parts) * each;
  }
};
/// Blocks of them for `heads` heads in all.
inline unsigned head_blocks(int heads, int count, int each) {
  return unsigned(heads) * unsigned((count + each - 1) / each);
}

/// A row of (B,H,T); `number` is also its place in lse.
struct QueryRow {
  std::int64_t number;
  int b, h, t;
  MODERNGPT2_DEVICE QueryRow(const AttentionCall& call, int head, int t_)
      : number(std::int64_t(head) * call.time + t_), b(head / call.n_head), h(head % call.n_head), t(t_) {}
  /// The warp's, where a warp has a row.
  MODERNGPT2_DEVICE explicit QueryRow(const AttentionCall& call) : QueryRow(call, HeadRows(call.time, row_warps)) {}

 private:
  MODERNGPT2_DEVICE QueryRow(const AttentionCall& call, const HeadRows& rows)
      : QueryRow(call, rows.head, rows.first + int(threadIdx.x) / 32) {}
};

/// Blocks where a warp has a query.
inline unsigned query_blocks(const AttentionCall& call) {
  return head_blocks(call.batch * call.n_head, call.time, row_warps);
}

}  // namespace detail

#endif  // MODERNGPT2_CUDA_KERNELS

}  // namespace moderngpt2::cuda
