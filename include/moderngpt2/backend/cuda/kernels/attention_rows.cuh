#pragma once

#include <cstdint>

#include "moderngpt2/backend/cuda/device.cuh"
#include "moderngpt2/backend/cuda/kernels/attention_inputs.cuh"
#include "moderngpt2/backend/cuda/kernels/dropout.cuh"
#include "moderngpt2/backend/cuda/kernels/reduce.cuh"
#include "moderngpt2/backend/cuda/launch.hpp"
#include "moderngpt2/core/abi.hpp"
#include "moderngpt2/core/view.hpp"

// Kernels of this file and the structs that launch them: argument values, views of GPU memory, and launch(stream),
// which queues the kernels.
namespace moderngpt2::cuda::inline MODERNGPT2_CUDA_ABI {

/// Attention with one warp per query; sums in fp32.
template <class T>
struct AttentionRows {
  AttentionInputs<T> in;
  Rows<T> o;   ///< (BT,HD)
  float* lse;  ///< (B,H,T) or null; infinity marks a query whose keys are all padding
  Queries queries = Queries::all;

  void launch(cudaStream_t stream) const;
};

#ifdef MODERNGPT2_CUDA_KERNELS

// Attention without matrix units: for fp32, and in all precisions for queries whose keys are all padding. A lane
// computes the score of one of 32 keys, then sums every 32nd channel of the values.
namespace detail {

template <class T>
__global__ void __launch_bounds__(32 * row_warps) attention_rows_kernel(const AttentionRows<T> a) {
  auto& memory = shared<AttentionRowsMemory>();
  const AttentionCall& call = a.in.call;
  const int warp = int(threadIdx.x) / 32, D = call.head_dim;
  const QueryRow at(call);
  if (at.t >= call.time) return;
  const bool even = sees_only_padding(call, at.b, at.t);
  if (a.queries == Queries::only_padding && !even) return;
  const float share = even ? uniform_share(call, at.b, at.t) : 0.0f;
  const int column = at.h / call.group() * D, key_row = at.b * call.key_rows;
  float *query = memory.first[warp], *p = memory.p[warp];
  copy_row(query, a.in.q.row(at.b * call.time + at.t) + at.h * D, D);
  __syncwarp();
  const DropoutRow drop(a.in.dropout, at.b, std::uint32_t(at.h), std::uint32_t(call.past + at.t));
  const int begin = even ? 0 : call.begin(at.b, at.t), end = even ? call.keys() : call.past + at.t + 1;
  float top = -INFINITY, total = 0, sums[lane_channels] = {};
  for (int u0 = begin; u0 < end; u0 += 32) {
    const int u = u0 + lane();
    float e = 0;
    if (even) {
      e = u < end && call.in_uniform_fallback(at.b, at.t, u) ? share : 0.0f;
    } else {
      float s = -INFINITY;
      if (u < end && !call.masked(at.b, u)) {
        s = dot_row(query, a.in.k.row(key_row + u) + column, D);
        if (a.in.softcap > 0) s = a.in.softcap * tanhf(s / a.in.softcap);
      }
      const float higher = fmaxf(top, warp_max(s));
      if (higher == -INFINITY) continue;
      const float shrink = expf(top - higher);
      e = expf(s - higher);
      total = total * shrink + warp_sum(e);
      for (float& x : sums) x *= shrink;
      top = higher;
    }
    if (a.in.dropout.active() && u < end) e = drop.keeps(u) ? e * drop.kept : 0.0f;
    p[lane()] = e;
    __syncwarp();
    for (int j = 0; j < 32 && u0 + j < end; ++j) {
      if (p[j] == 0.0f) continue;
      const T* value = a.in.v.row(key_row + u0 + j) + column;
      for (int i = 0; i < lane_channels; ++i)
        if (i * 32 + lane() < D) sums[i] += p[j] * to_float(value[i * 32 + lane()]);
    }
    __syncwarp();
  }
  const float inverse = even ? 1.0f : 1.0f / total;
  T* out = a.o.row(at.b * call.time + at.t) + at.h * D;
  for (int i = 0; i < lane_channels; ++i)
    if (i * 32 + lane() < D) out[i * 32 + lane()] = from_float<T>(sums[i] * inverse);
  if (a.lse && lane() == 0) a.lse[at.number] = even ? INFINITY : top + logf(total);
}

}  // namespace detail

template <class T>
void AttentionRows<T>::launch(cudaStream_t stream) const {
  cuda::launch(stream, detail::attention_rows_kernel<T>, detail::query_blocks(in.call), 32 * detail::row_warps, 0,
               *this);
}

MODERNGPT2_CUDA_INSTANTIATE(AttentionRows);

#endif  // MODERNGPT2_CUDA_KERNELS

}  // namespace moderngpt2::cuda::inline MODERNGPT2_CUDA_ABI
