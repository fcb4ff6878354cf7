#pragma once

#include <cstdint>

#include "moderngpt2/backend/cuda/kernels/attention_inputs.cuh"
#include "moderngpt2/backend/cuda/kernels/flash_tiles.cuh"
#include "moderngpt2/backend/cuda/launch.hpp"
#include "moderngpt2/core/abi.hpp"

// Kernels of this file and the structs that launch them: argument values, views of GPU memory, and launch(stream),
// which queues the kernels.
namespace moderngpt2::cuda::inline MODERNGPT2_CUDA_ABI {

/// Backward pass on tensor cores, for bf16 and f16: one block per tile of queries for dq, then one block per tile of
/// keys for dk and dv, so that no two blocks add to the same gradient. Queries whose keys are all padding contribute 0.
template <class T>
struct FlashAttentionBackward {
  AttentionInputs<T> in;
  Rows<T> dq, dk, dv;
  Rows<const T> d_o;
  const float *lse, *mean;  ///< (B,H,T); mean = o . do
  bool in_packs = false;    ///< set by launch

  void launch(cudaStream_t stream) const;
};

#ifdef MODERNGPT2_CUDA_KERNELS

// Backward pass of flash attention with mma.sync. Probabilities are recomputed from the log-sum-exp; the kernel for dk
// and dv computes their transposes, so that those of a warp's 16 keys stay in registers. docs/math.md derives the
// formulas.
namespace detail {

/// Replaces score, q . k, by the probability times its dropout factor (0 or 1 / (1 - rate)), and dp, do . v, by the
/// gradient of the score. lse: log-sum-exp in base 2; infinity if the key is not visible.
MODERNGPT2_DEVICE void score_gradient(float& score, float& dp, float factor, float lse, float mean, float softcap,
                                      float inverse_softcap) {
  float slope = 1, s = score;
  if (softcap > 0) {
    const float t = fast_tanh(s * inverse_softcap);
    s = softcap * t, slope = 1.0f - t * t;
  }
  const float p = fast_exp2(s * log2_e - lse);
  score = p * factor;
  dp = p * (dp * factor - mean) * slope;
}

/// Warps per block: 2 where 4 would exceed min_shared_bytes.
template <int D>
inline constexpr int backward_warps = D <= 128 ? 4 : 2;
/// Keys per streamed tile in the kernel for dq, and queries per tile in that for dk and dv: as many as registers allow.
template <int D>
inline constexpr int streamed_keys = D <= 32 ? 64 : 32;
template <int D, bool drop>
inline constexpr int streamed_queries = D <= 32                          ? 64
                                        : D <= 96 || (D == 128 && !drop) ? 32
                                                                         : 16;
/// Channels whose gradients a block sums, from blockIdx.z * backward_channels on. All 256 would exceed the registers.
template <int D>
inline constexpr int backward_channels = D <= 128 ? D : D / 2;

template <class T, int D>
struct FlashDqMemory {
  static constexpr int warps = backward_warps<D>, queries = 16 * warps, keys = streamed_keys<D>;
  Tile<T, queries, D> q, d_o;  // q: finally dq
  Tile<T, keys, D> k[2], v[2];
  BlockRange<warps> begins;
};

template <class T, int D, bool drop>
__global__ void __launch_bounds__(32 * backward_warps<D>) flash_attention_dq_kernel(const FlashAttentionBackward<T> a) {
  using Memory = FlashDqMemory<T, D>;
  constexpr int N = Memory::keys, threads = 32 * Memory::warps;
  auto& memory = dynamic_shared<Memory>();
  const AttentionCall& call = a.in.call;
  const int warp = int(threadIdx.x) / 32, c = 2 * (int(threadIdx.x) % 4);
  const int h = int(blockIdx.x) % call.n_head, b = int(blockIdx.x) / call.n_head;
  const int t0 =
      int(gridDim.y - 1 - blockIdx.y) * Memory::queries;  // queries with the most keys first, for load balance
  const int rows = call.time - t0 < Memory::queries ? call.time - t0 : Memory::queries, row = b * call.time + t0;
  const int head_dim = call.head_dim, column = h / call.group() * head_dim;
  load_tile<threads>(memory.q, a.in.q.row(row) + h * head_dim, a.in.q.stride, rows, head_dim, a.in_packs);
  load_tile<threads>(memory.d_o, a.d_o.row(row) + h * head_dim, a.d_o.stride, rows, head_dim, a.in_packs);

  const LaneQueries seen(call, b, t0 + 16 * warp);
  int low, latest_begin;
  seen.range(low, latest_begin, call, memory.begins);
  float lse[2], mean[2];
  for (int i = 0; i < 2; ++i) {
    const int t = seen.t + 8 * i;
    const std::int64_t place = std::int64_t(b * call.n_head + h) * call.time + t;
    lse[i] = t < call.time ? a.lse[place] * log2_e : INFINITY;
    mean[i] = t < call.time ? a.mean[place] : 0.0f;
  }
  const int end = call.past + t0 + rows;
  const auto load_keys = [&](int stage, int u0) {
    const int key_row = b * call.key_rows + u0;
    load_tile<threads>(memory.k[stage], a.in.k.row(key_row) + column, a.in.k.stride, end - u0, head_dim, a.in_packs);
    load_tile<threads>(memory.v[stage], a.in.v.row(key_row) + column, a.in.v.stride, end - u0, head_dim, a.in_packs);
  };
  int u0 = low / N * N;
  load_keys(0, u0);
  cp_async_commit();

  RowFragments<T, Memory::queries, D, D <= 64> queries(memory.q, 16 * warp), d_out(memory.d_o, 16 * warp);
  const int channels = int(blockIdx.z) * backward_channels<D>;
  const float inverse_softcap = 1.0f / a.in.softcap;
  float sums[backward_channels<D> / 8][4] = {};
  for (int stage = 0; u0 < end; u0 += N, stage ^= 1) {
    if (u0 + N < end) load_keys(stage ^ 1, u0 + N);
    cp_async_commit();
    cp_async_wait<1>();
    __syncthreads();
    if (u0 == low / N * N) queries.load(), d_out.load();
    float s[N / 8][4] = {}, ds[N / 8][4] = {};
    multiply_channels<T>(s, queries, memory.k[stage]);
    multiply_channels<T>(ds, d_out, memory.v[stage]);
    const bool all_seen = !call.key_mask && u0 >= latest_begin && u0 + N <= call.past + t0 + 16 * warp + 1;
    MODERNGPT2_UNROLL
    for (int i = 0; i < 2; ++i) {
      MODERNGPT2_UNROLL
      for (int g = 0; g < N / 32; ++g) {
        std::uint32_t bits = 0xff;
        if constexpr (drop)
          bits = kept_columns(DropoutRow(a.in.dropout, b, std::uint32_t(h), std::uint32_t(seen.position + 8 * i)),
                              u0 + 32 * g + c);
        MODERNGPT2_UNROLL
        for (int w = 0; w < 8; ++w) {
          const int j = 4 * g + w / 2, e = 2 * i + w % 2, key = u0 + 8 * j + c + w % 2;
          const bool visible = all_seen || (seen.sees(i, key) && !call.masked(b, key));
          const float factor = !drop ? 1.0f : bits >> w & 1 ? a.in.dropout.kept : 0.0f;
          score_gradient(s[j][e], ds[j][e], factor, visible ? lse[i] : INFINITY, mean[i], a.in.softcap,
                         inverse_softcap);
        }
      }
    }
    multiply_rows<T>(sums, ds, memory.k[stage], channels);
    __syncthreads();
  }
  const RowsOut<T> out{a.dq.row(row + 16 * warp) + h * head_dim, a.dq.stride, rows - 16 * warp, head_dim, a.in_packs};
  out.store(memory.q, 16 * warp, sums, 1.0f, 1.0f, channels);
}

template <class T, int D, bool drop>
struct FlashDkvMemory {
  static constexpr int warps = backward_warps<D>, keys = 16 * warps, queries = streamed_queries<D, drop>;
  Tile<T, keys, D> k, v;  // finally dk and dv
  Tile<T, queries, D> q[2], d_o[2];
  float lse[2][queries], mean[2][queries];
  int begin[2][queries];
  BlockRange<warps> range;
};

template <class T, int D, bool drop>
__global__ void __launch_bounds__(32 * backward_warps<D>)
    flash_attention_dkv_kernel(const FlashAttentionBackward<T> a) {
  using Memory = FlashDkvMemory<T, D, drop>;
  constexpr int M = Memory::queries, threads = 32 * Memory::warps;
  auto& memory = dynamic_shared<Memory>();
  const AttentionCall& call = a.in.call;
  const int warp = int(threadIdx.x) / 32, q = int(threadIdx.x) % 32 / 4, c = 2 * (int(threadIdx.x) % 4);
  const int kv = int(blockIdx.x) % call.n_kv_head, b = int(blockIdx.x) / call.n_kv_head, group = call.group();
  const int u0 = int(blockIdx.y) * Memory::keys, head_dim = call.head_dim;
  const int keys = call.keys() - u0 < Memory::keys ? call.keys() - u0 : Memory::keys, key_row = b * call.key_rows + u0;
  load_tile<threads>(memory.k, a.in.k.row(key_row) + kv * head_dim, a.in.k.stride, keys, head_dim, a.in_packs);
  load_tile<threads>(memory.v, a.in.v.row(key_row) + kv * head_dim, a.in.v.stride, keys, head_dim, a.in_packs);

  // Queries [first, end) see at least one of the keys; those from all_from on see all, unless masked otherwise.
  const bool bounded = call.window > 0 || call.first_key;
  const int first = u0 - call.past > 0 ? u0 - call.past : 0, all_from = u0 + Memory::keys - 1 - call.past;
  int end = call.time;
  if (bounded) {
    int last = -1, unused = 0;
    for (int t = first + int(threadIdx.x); t < call.time; t += threads)
      if (call.begin(b, t) < u0 + keys) last = t;
    block_range(unused, last, memory.range);
    end = last + 1;
  }
  const int t_first = first / M * M, tiles = end > t_first ? (end - t_first + M - 1) / M : 0;
  const int own = u0 + 16 * warp + q;  // this lane's keys are own and own + 8
  bool there[2];
  for (int i = 0; i < 2; ++i) there[i] = own + 8 * i < call.keys() && !call.masked(b, own + 8 * i);

  const auto load_queries = [&](int stage, int turn) {
    const int h = kv * group + turn / tiles, t0 = t_first + turn % tiles * M, row = b * call.time + t0;
    load_tile<threads>(memory.q[stage], a.in.q.row(row) + h * head_dim, a.in.q.stride, call.time - t0, head_dim,
                       a.in_packs);
    load_tile<threads>(memory.d_o[stage], a.d_o.row(row) + h * head_dim, a.d_o.stride, call.time - t0, head_dim,
                       a.in_packs);
    for (int i = int(threadIdx.x); i < M; i += threads) {
      const bool query = t0 + i < call.time;
      const std::int64_t place = std::int64_t(b * call.n_head + h) * call.time + (t0 + i);
      memory.lse[stage][i] = query ? a.lse[place] * log2_e : INFINITY;
      memory.mean[stage][i] = query ? a.mean[place] : 0.0f;
      memory.begin[stage][i] = query && bounded ? call.begin(b, t0 + i) : 0;
    }
  };
  if (tiles > 0) load_queries(0, 0);
  cp_async_commit();

  RowFragments<T, Memory::keys, D, D <= 32> key(memory.k, 16 * warp), value(memory.v, 16 * warp);
  const int channels = int(blockIdx.z) * backward_channels<D>;
  const float inverse_softcap = 1.0f / a.in.softcap;
  float dk[backward_channels<D> / 8][4] = {}, dv[backward_channels<D> / 8][4] = {};
  for (int turn = 0, stage = 0; turn < tiles * group; ++turn, stage ^= 1) {
    if (turn + 1 < tiles * group) load_queries(stage ^ 1, turn + 1);
    cp_async_commit();
    cp_async_wait<1>();
    __syncthreads();
    if (turn == 0) key.load(), value.load();
    const int h = kv * group + turn / tiles, t0 = t_first + turn % tiles * M;
    float p[M / 8][4] = {}, ds[M / 8][4] = {};
    multiply_channels<T>(p, key, memory.q[stage]);
    multiply_channels<T>(ds, value, memory.d_o[stage]);
    const bool all_seen = !call.key_mask && !bounded && t0 >= all_from && keys == Memory::keys;
    MODERNGPT2_UNROLL
    for (int n = 0; n < M / 4; ++n) {  // two scores per query
      const int j = n / 2, e = n % 2, i = 8 * j + c + e, position = call.past + t0 + i;
      const float lse = memory.lse[stage][i], mean = memory.mean[stage][i];
      DropoutRow::Words words{};
      if constexpr (drop)
        words = DropoutRow(a.in.dropout, b, std::uint32_t(h), std::uint32_t(position))
                    .block(std::uint32_t(own / 32 * 8 + own % 8));
      MODERNGPT2_UNROLL
      for (int r = 0; r < 2; ++r) {
        const int u = own + 8 * r;
        const bool visible = all_seen || (there[r] && u <= position && u >= memory.begin[stage][i]);
        const float factor = !drop                                                   ? 1.0f
                             : words.pick(own / 8 % 4 + r) >= a.in.dropout.threshold ? a.in.dropout.kept
                                                                                     : 0.0f;
        score_gradient(p[j][2 * r + e], ds[j][2 * r + e], factor, visible ? lse : INFINITY, mean, a.in.softcap,
                       inverse_softcap);
      }
    }
    multiply_rows<T>(dv, p, memory.d_o[stage], channels);
    multiply_rows<T>(dk, ds, memory.q[stage], channels);
    __syncthreads();
  }
  cp_async_wait<0>();
  __syncthreads();
  const int row = key_row + 16 * warp, count = keys - 16 * warp;
  RowsOut<T> out{a.dk.row(row) + kv * head_dim, a.dk.stride, count, head_dim, a.in_packs};
  out.store(memory.k, 16 * warp, dk, 1.0f, 1.0f, channels);
  out.to = a.dv.row(row) + kv * head_dim, out.stride = a.dv.stride;
  out.store(memory.v, 16 * warp, dv, 1.0f, 1.0f, channels);
}

template <class T, int D, bool drop>
void launch_flash_backward(cudaStream_t stream, const FlashAttentionBackward<T>& a) {
  using Dq = FlashDqMemory<T, D>;
  using Dkv = FlashDkvMemory<T, D, drop>;
  static_assert(sizeof(Dq) <= min_shared_bytes && sizeof(Dkv) <= min_shared_bytes);
  const AttentionCall& call = a.in.call;
  const auto tiles = [](int n, int each) { return unsigned((n + each - 1) / each); };
  constexpr unsigned parts = D / backward_channels<D>;
  cuda::launch(stream, flash_attention_dq_kernel<T, D, drop>,
               dim3(unsigned(call.batch * call.n_head), tiles(call.time, Dq::queries), parts), 32 * Dq::warps,
               sizeof(Dq), a);
  cuda::launch(stream, flash_attention_dkv_kernel<T, D, drop>,
               dim3(unsigned(call.batch * call.n_kv_head), tiles(call.keys(), Dkv::keys), parts), 32 * Dkv::warps,
               sizeof(Dkv), a);
}

}  // namespace detail

template <class T>
void FlashAttentionBackward<T>::launch(cudaStream_t stream) const {
  FlashAttentionBackward a = *this;
  const int head_dim = in.call.head_dim;
  a.in_packs = true;
  const Rows<const T> all[] = {in.q, in.k, in.v, d_o, dq, dk, dv};
  for (const Rows<const T>& rows : all) a.in_packs = a.in_packs && detail::heads_in_packs(rows, head_dim);
  detail::dispatch_head_dim(head_dim, [&](auto d) {
    if (in.dropout.active())
      detail::launch_flash_backward<T, decltype(d)::value, true>(stream, a);
    else
      detail::launch_flash_backward<T, decltype(d)::value, false>(stream, a);
  });
}

MODERNGPT2_CUDA_INSTANTIATE_SHORT(FlashAttentionBackward);

#endif  // MODERNGPT2_CUDA_KERNELS

}  // namespace moderngpt2::cuda::inline MODERNGPT2_CUDA_ABI
