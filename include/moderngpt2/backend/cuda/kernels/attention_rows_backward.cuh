#pragma once

#include <cstdint>

#include "moderngpt2/backend/calls.hpp"
#include "moderngpt2/backend/cuda/device.cuh"
#include "moderngpt2/backend/cuda/kernels/attention_inputs.cuh"
#include "moderngpt2/backend/cuda/kernels/dropout.cuh"
#include "moderngpt2/backend/cuda/kernels/packs.cuh"
#include "moderngpt2/backend/cuda/launch.hpp"
#include "moderngpt2/core/abi.hpp"
#include "moderngpt2/core/view.hpp"

// Kernels of this file and the structs that launch them: argument values, views of GPU memory, and launch(stream),
// which queues the kernels.
namespace moderngpt2::cuda::inline MODERNGPT2_CUDA_ABI {

/// For each query (B,H,T): mean = o . do, the mean of the gradients of its probabilities; share = probability of each
/// key if all keys of the query are padding, else 0.
template <class T>
struct AttentionMeans {
  Rows<const T> d_o, o;
  const float* lse;
  float* mean;
  float* share;  ///< null without a key mask
  AttentionCall call;

  void launch(cudaStream_t stream) const;
};

/// Gradients with one warp per query for dq, then one warp per key for dk and dv. With Queries::only_padding, sets dq
/// of these queries and adds to dk and dv.
template <class T>
struct AttentionRowsBackward {
  AttentionInputs<T> in;
  Rows<T> dq, dk, dv;
  Rows<const T> d_o;
  const float *lse, *mean, *share;
  Queries queries = Queries::all;

  void launch(cudaStream_t stream) const;
};

#ifdef MODERNGPT2_CUDA_KERNELS

// Backward pass of attention_rows.cuh. A lane computes the score gradient of one of 32 keys (or one of 32 queries in
// the kernel for dk and dv), then sums every 32nd channel. docs/math.md derives the formulas.
namespace detail {

/// `lanes` lanes, a power of 2, share a row of (B,H,T), each with 8 channels at a time.
template <class T>
__global__ void __launch_bounds__(32 * row_warps, 1)
    attention_means_kernel(const AttentionMeans<T> a, int lanes, bool in_packs) {
  const int D = a.call.head_dim, each = 32 / lanes;
  const HeadRows rows(a.call.time, row_warps * each);
  const int first = rows.first + int(threadIdx.x) / 32 * each;
  const QueryRow at(a.call, rows.head, first + lane() / lanes);
  float mean = 0;
  if (at.t < a.call.time) {
    const T *o = a.o.row(at.b * a.call.time + at.t) + at.h * D, *d_o = a.d_o.row(at.b * a.call.time + at.t) + at.h * D;
    for (int d = lane() % lanes * 8; d < D; d += lanes * 8) {
      float x[8], y[8];
      load_floats(x, o + d, D - d, in_packs);
      load_floats(y, d_o + d, D - d, in_packs);
      for (int i = 0; i < 8; ++i) mean += x[i] * y[i];
    }
  }
  for (int by = lanes / 2; by > 0; by /= 2) mean += __shfl_xor_sync(full_mask, mean, by);
  if (at.t < a.call.time && lane() % lanes == 0) a.mean[at.number] = mean;
  if (!a.share) return;
  for (int t = first; t < first + each && t < a.call.time; ++t) {
    const QueryRow row(a.call, rows.head, t);
    const float share = a.lse[row.number] == INFINITY ? uniform_share(a.call, row.b, t) : 0.0f;
    if (lane() == 0) a.share[row.number] = share;
  }
}

/// Probability times its dropout factor (`factored`), and gradient of the score q . k (`ds`).
struct ScoreGradient {
  float factored = 0, ds = 0;

  MODERNGPT2_DEVICE ScoreGradient() {}
  /// score: q . k; dp: do . v; factor: dropout factor; lse: log-sum-exp; share: the probability if lse is infinite.
  MODERNGPT2_DEVICE ScoreGradient(float score, float dp, float factor, float lse, float share, float mean,
                                  float softcap) {
    float slope = 1;
    if (softcap > 0) {
      const float t = tanhf(score / softcap);
      score = softcap * t, slope = 1.0f - t * t;
    }
    const float probability = lse == INFINITY ? share : expf(score - lse);
    factored = probability * factor;
    ds = probability * (dp * factor - mean) * slope;
  }
};

template <class T>
__global__ void __launch_bounds__(32 * row_warps, 4) attention_rows_dq_kernel(const AttentionRowsBackward<T> a) {
  auto& memory = shared<AttentionRowsMemory>();
  const AttentionCall& call = a.in.call;
  const int warp = int(threadIdx.x) / 32, D = call.head_dim;
  const QueryRow at(call);
  if (at.t >= call.time) return;
  const float lse = a.lse[at.number], share = a.share ? a.share[at.number] : 0.0f, mean = a.mean[at.number];
  const bool even = lse == INFINITY;
  if (a.queries == Queries::only_padding && !even) return;
  const int column = at.h / call.group() * D, key_row = at.b * call.key_rows, row = at.b * call.time + at.t;
  float *query = memory.first[warp], *d_out = memory.second[warp], *ds = memory.ds[warp];
  copy_row(query, a.in.q.row(row) + at.h * D, D);
  copy_row(d_out, a.d_o.row(row) + at.h * D, D);
  __syncwarp();
  const DropoutRow drop(a.in.dropout, at.b, std::uint32_t(at.h), std::uint32_t(call.past + at.t));
  const int begin = even ? 0 : call.begin(at.b, at.t), end = even ? call.keys() : call.past + at.t + 1;
  float sums[lane_channels] = {};
  for (int u0 = begin; u0 < end; u0 += 32) {
    const int u = u0 + lane();
    ScoreGradient g;
    if (u < end && (even ? call.in_uniform_fallback(at.b, at.t, u) : !call.masked(at.b, u))) {
      const float factor = !a.in.dropout.active() ? 1.0f : drop.keeps(u) ? drop.kept : 0.0f;
      g = ScoreGradient(dot_row(query, a.in.k.row(key_row + u) + column, D),
                        dot_row(d_out, a.in.v.row(key_row + u) + column, D), factor, lse, share, mean, a.in.softcap);
    }
    ds[lane()] = g.ds;
    __syncwarp();
    for (int j = 0; j < 32 && u0 + j < end; ++j) {
      const T* key = a.in.k.row(key_row + u0 + j) + column;
      for (int i = 0; i < lane_channels; ++i)
        if (i * 32 + lane() < D) sums[i] += ds[j] * to_float(key[i * 32 + lane()]);
    }
    __syncwarp();
  }
  T* out = a.dq.row(row) + at.h * D;
  for (int i = 0; i < lane_channels; ++i)
    if (i * 32 + lane() < D) out[i * 32 + lane()] = from_float<T>(sums[i]);
}

template <class T>
__global__ void __launch_bounds__(32 * row_warps, 1) attention_rows_dkv_kernel(const AttentionRowsBackward<T> a) {
  auto& memory = shared<AttentionRowsMemory>();
  const AttentionCall& call = a.in.call;
  const int warp = int(threadIdx.x) / 32, D = call.head_dim, keys = call.keys(), group = call.group();
  const HeadRows rows(keys, row_warps);
  const int u = rows.first + warp, kv = rows.head % call.n_kv_head, b = rows.head / call.n_kv_head;
  if (u >= keys) return;
  float *key = memory.first[warp], *value = memory.second[warp], *p = memory.p[warp], *ds = memory.ds[warp];
  const int key_row = b * call.key_rows + u, column = kv * D;
  copy_row(key, a.in.k.row(key_row) + column, D);
  copy_row(value, a.in.v.row(key_row) + column, D);
  __syncwarp();
  const bool add = a.queries == Queries::only_padding;
  T *dk = a.dk.row(key_row) + column, *dv = a.dv.row(key_row) + column;
  float dk_sums[lane_channels] = {}, dv_sums[lane_channels] = {};
  if (add)
    for (int i = 0; i < lane_channels; ++i)
      if (i * 32 + lane() < D) dk_sums[i] = to_float(dk[i * 32 + lane()]), dv_sums[i] = to_float(dv[i * 32 + lane()]);
  const int first = a.share             ? 0
                    : u - call.past > 0 ? u - call.past
                                        : 0;  // earlier queries see key u only if all their keys are padding
  for (int h = kv * group; h < (kv + 1) * group; ++h)
    for (int t0 = first; t0 < call.time; t0 += 32) {
      const int t = t0 + lane(), row = b * call.time + t;
      const std::int64_t place = std::int64_t(b * call.n_head + h) * call.time + t;
      ScoreGradient g;
      if (t < call.time) {
        const float lse = a.lse[place];
        const bool seen = lse == INFINITY ? call.in_uniform_fallback(b, t, u)
                                          : !add && u <= call.past + t && u >= call.begin(b, t) && !call.masked(b, u);
        if (seen) {
          float factor = 1;
          if (a.in.dropout.active()) {
            const DropoutRow drop(a.in.dropout, b, std::uint32_t(h), std::uint32_t(call.past + t));
            factor = drop.keeps(u) ? drop.kept : 0.0f;
          }
          g = ScoreGradient(dot_row(key, a.in.q.row(row) + h * D, D), dot_row(value, a.d_o.row(row) + h * D, D), factor,
                            lse, a.share ? a.share[place] : 0.0f, a.mean[place], a.in.softcap);
        }
      }
      if (!__any_sync(full_mask, g.factored != 0.0f || g.ds != 0.0f)) continue;
      p[lane()] = g.factored;
      ds[lane()] = g.ds;
      __syncwarp();
      for (int j = 0; j < 32 && t0 + j < call.time; ++j) {
        const T *d_out = a.d_o.row(b * call.time + t0 + j) + h * D, *query = a.in.q.row(b * call.time + t0 + j) + h * D;
        for (int i = 0; i < lane_channels; ++i)
          if (i * 32 + lane() < D) {
            dv_sums[i] += p[j] * to_float(d_out[i * 32 + lane()]);
            dk_sums[i] += ds[j] * to_float(query[i * 32 + lane()]);
          }
      }
      __syncwarp();
    }
  for (int i = 0; i < lane_channels; ++i)
    if (i * 32 + lane() < D) {
      dk[i * 32 + lane()] = from_float<T>(dk_sums[i]);
      dv[i * 32 + lane()] = from_float<T>(dv_sums[i]);
    }
}

}  // namespace detail

template <class T>
void AttentionMeans<T>::launch(cudaStream_t stream) const {
  bool in_packs = call.head_dim % 8 == 0;
  for (const Rows<const T>* rows : {&o, &d_o})
    in_packs = in_packs && detail::pack_aligned(rows->data, std::int64_t(rows->stride) * std::int64_t(sizeof(T)));
  const int lanes = call.head_dim <= 32 ? 4 : call.head_dim <= 64 ? 8 : 16;
  cuda::launch(stream, detail::attention_means_kernel<T>,
               detail::head_blocks(call.batch * call.n_head, call.time, detail::row_warps * (32 / lanes)),
               32 * detail::row_warps, 0, *this, lanes, in_packs);
}

template <class T>
void AttentionRowsBackward<T>::launch(cudaStream_t stream) const {
  cuda::launch(stream, detail::attention_rows_dq_kernel<T>, detail::query_blocks(in.call), 32 * detail::row_warps, 0,
               *this);
  const unsigned key_blocks = detail::head_blocks(in.call.batch * in.call.n_kv_head, in.call.keys(), detail::row_warps);
  cuda::launch(stream, detail::attention_rows_dkv_kernel<T>, key_blocks, 32 * detail::row_warps, 0, *this);
}

MODERNGPT2_CUDA_INSTANTIATE(AttentionMeans);
MODERNGPT2_CUDA_INSTANTIATE(AttentionRowsBackward);

#endif  // MODERNGPT2_CUDA_KERNELS

}  // namespace moderngpt2::cuda::inline MODERNGPT2_CUDA_ABI
