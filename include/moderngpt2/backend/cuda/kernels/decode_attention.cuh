#pragma once

#include <cstdint>

#include "moderngpt2/backend/cuda/device.cuh"
#include "moderngpt2/backend/cuda/kernels/attention_inputs.cuh"
#include "moderngpt2/backend/cuda/kernels/packs.cuh"
#include "moderngpt2/backend/cuda/kernels/reduce.cuh"
#include "moderngpt2/backend/cuda/launch.hpp"
#include "moderngpt2/core/abi.hpp"

// Kernels of this file and the structs that launch them: argument values, views of GPU memory, and launch(stream),
// which queues the kernels.
namespace moderngpt2::cuda::inline MODERNGPT2_CUDA_ABI {

/// Keys per block.
inline constexpr int decode_chunk = 64;

/// Attention of one query per sequence to its cache: one block per chunk of keys, then a reduction over chunks in
/// order. A query whose keys are all padding gets 0.
template <class T>
struct DecodeAttention {
  AttentionInputs<T> in;
  Rows<T> o;     ///< (B,HD)
  float* parts;  ///< part_floats(in.call)

  static constexpr int chunks(int keys) { return (keys + decode_chunk - 1) / decode_chunk; }
  /// Scratch floats for a full cache, so that scratch does not grow while decoding: for each (B,H,chunk), the maximum
  /// score, the sum of exponentials, and the weighted sum of values (D).
  static constexpr std::int64_t part_floats(const AttentionCall& call) {
    return std::int64_t(call.batch) * call.n_head * chunks(call.key_rows) * (call.head_dim + 2);
  }
  void launch(cudaStream_t stream) const;
};

#ifdef MODERNGPT2_CUDA_KERNELS

// Reading keys and values limits decoding, so a block reads those of one chunk and one key/value head once for up to 4
// query heads. A lane handles 8 channels of every (128 / lanes)th key; `lanes` lanes cover a head.
namespace detail {

inline constexpr int decode_warps = 4, decode_heads = 4;

template <int D>
struct DecodeMemory {
  float scores[decode_heads][decode_chunk];
  float sums[decode_warps][decode_heads][D];
};

template <class T, int D>
__global__ void __launch_bounds__(32 * decode_warps, 1) decode_chunk_kernel(const DecodeAttention<T> a, bool in_packs) {
  auto& memory = shared<DecodeMemory<D>>();
  constexpr int lanes = D / 8, each = 32 / lanes * decode_warps;  // keys per iteration
  const AttentionCall& call = a.in.call;
  const int warp = int(threadIdx.x) / 32, lane = int(threadIdx.x) % 32, channel = lane % lanes * 8;
  const int chunks = a.chunks(call.keys()), chunk = int(blockIdx.x) % chunks, b = int(blockIdx.x) / chunks;
  const int kv = int(blockIdx.y), head_dim = call.head_dim;
  const int own = int(threadIdx.x) / lanes,
            left = head_dim - channel;  // first key of this lane, and channels from its first on
  const int past = call.past_of(b), begin = call.begin(b, 0, past), end = past + 1;
  const int u0 = chunk * decode_chunk, row = b * call.key_rows + u0;
  if (u0 >= end) return;  // only with AttentionCall::pasts
  const auto seen = [&](int u) { return u0 + u >= begin && u0 + u < end; };

  for (int h0 = kv * call.group(); h0 < (kv + 1) * call.group(); h0 += decode_heads) {
    const int heads = (kv + 1) * call.group() - h0 < decode_heads ? (kv + 1) * call.group() - h0 : decode_heads;
    float q[decode_heads][8], sums[decode_heads][8] = {};
    for (int g = 0; g < decode_heads; ++g)
      load_floats(q[g], a.in.q.row(b) + (h0 + g) * head_dim + channel, g < heads ? left : 0, in_packs);
    MODERNGPT2_UNROLL
    for (int first = 0; first < decode_chunk; first += each) {
      const int u = first + own;
      float key[8];
      load_floats(key, a.in.k.row(row + u) + kv * head_dim + channel, seen(u) ? left : 0, in_packs);
      float s[decode_heads] = {};
      for (int g = 0; g < decode_heads; ++g) {
        for (int e = 0; e < 8; ++e) s[g] += q[g][e] * key[e];
        for (int by = 1; by < lanes; by *= 2) s[g] += __shfl_xor_sync(full_mask, s[g], by);
      }
      if (lane % lanes == 0)
        for (int g = 0; g < decode_heads; ++g) memory.scores[g][u] = s[g];
    }
    __syncthreads();
    if (warp < heads) {  // one warp per head
      float s[decode_chunk / 32], top = -INFINITY, total = 0;
      for (int i = 0; i < decode_chunk / 32; ++i) {
        const int u = 32 * i + lane;
        s[i] = memory.scores[warp][u];
        if (a.in.softcap > 0) s[i] = a.in.softcap * tanhf(s[i] / a.in.softcap);
        if (!seen(u) || call.masked(b, u0 + u)) s[i] = -INFINITY;
        top = fmaxf(top, s[i]);
      }
      top = warp_max(top);
      for (int i = 0; i < decode_chunk / 32; ++i) {
        const float p = top == -INFINITY ? 0.0f : expf(s[i] - top);
        memory.scores[warp][32 * i + lane] = p;
        total += p;
      }
      total = warp_sum(total);
      float* const part = a.parts + (std::int64_t(b * call.n_head + h0 + warp) * chunks + chunk) * (head_dim + 2);
      if (lane == 0) part[0] = top, part[1] = total;
    }
    __syncthreads();
    MODERNGPT2_UNROLL
    for (int first = 0; first < decode_chunk; first += each) {
      const int u = first + own;
      float value[8];
      load_floats(value, a.in.v.row(row + u) + kv * head_dim + channel, seen(u) ? left : 0, in_packs);
      for (int g = 0; g < decode_heads; ++g) {
        const float p = g < heads ? memory.scores[g][u] : 0.0f;
        for (int e = 0; e < 8; ++e) sums[g][e] += p * value[e];
      }
    }
    for (int g = 0; g < decode_heads; ++g)
      for (int e = 0; e < 8; ++e) {
        for (int by = lanes; by < 32; by *= 2) sums[g][e] += __shfl_xor_sync(full_mask, sums[g][e], by);
        if (lane < lanes) memory.sums[warp][g][channel + e] = sums[g][e];
      }
    __syncthreads();
    for (int i = int(threadIdx.x); i < heads * D; i += 32 * decode_warps) {
      const int g = i / D, d = i % D;
      if (d >= head_dim) continue;
      float sum = 0;
      for (int w = 0; w < decode_warps; ++w) sum += memory.sums[w][g][d];
      a.parts[(std::int64_t(b * call.n_head + h0 + g) * chunks + chunk) * (head_dim + 2) + 2 + d] = sum;
    }
    __syncthreads();
  }
}

/// One block per head: combines its chunks, each weighted by its share of the sum of exponentials.
template <class T>
__global__ void __launch_bounds__(max_head_dim) combine_chunks_kernel(const DecodeAttention<T> a, int chunks) {
  const int n_head = a.in.call.n_head, h = int(blockIdx.x) % n_head, b = int(blockIdx.x) / n_head;
  const int head_dim = a.in.call.head_dim, d = int(threadIdx.x), used = a.chunks(a.in.call.past_of(b) + 1);
  if (d >= head_dim) return;
  const float* const parts = a.parts + std::int64_t(blockIdx.x) * chunks * (head_dim + 2);
  const auto part = [&](int c) { return parts + std::int64_t(c) * (head_dim + 2); };
  float top = -INFINITY, total = 0, sum = 0;
  for (int c = 0; c < used; ++c) top = fmaxf(top, part(c)[0]);
  for (int c = 0; c < used && top != -INFINITY; ++c) {
    const float share = expf(part(c)[0] - top);
    total += part(c)[1] * share;
    sum += part(c)[2 + d] * share;
  }
  a.o.row(b)[h * head_dim + d] = from_float<T>(total > 0 ? sum / total : 0.0f);
}

}  // namespace detail

template <class T>
void DecodeAttention<T>::launch(cudaStream_t stream) const {
  const AttentionCall& call = in.call;
  const int used = chunks(call.keys());
  bool in_packs = call.head_dim % 8 == 0;
  for (const Rows<const T>* rows : {&in.q, &in.k, &in.v})
    in_packs = in_packs && detail::pack_aligned(rows->data, std::int64_t(rows->stride) * std::int64_t(sizeof(T)));
  // Sequences are in x, since y is limited to 65535.
  const dim3 grid(unsigned(used) * unsigned(call.batch), unsigned(call.n_kv_head));
  const auto kernel = call.head_dim <= 64    ? detail::decode_chunk_kernel<T, 64>
                      : call.head_dim <= 128 ? detail::decode_chunk_kernel<T, 128>
                                             : detail::decode_chunk_kernel<T, 256>;
  cuda::launch(stream, kernel, grid, 32 * detail::decode_warps, 0, *this, in_packs);
  cuda::launch(stream, detail::combine_chunks_kernel<T>, unsigned(call.n_head) * unsigned(call.batch),
               unsigned((call.head_dim + 31) / 32 * 32), 0, *this, used);
}

MODERNGPT2_CUDA_INSTANTIATE(DecodeAttention);

#endif  // MODERNGPT2_CUDA_KERNELS

}  // namespace moderngpt2::cuda::inline MODERNGPT2_CUDA_ABI
