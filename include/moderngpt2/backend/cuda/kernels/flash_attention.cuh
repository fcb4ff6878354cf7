#pragma once

#include <cstdint>

#include "moderngpt2/backend/cuda/kernels/attention_inputs.cuh"
#include "moderngpt2/backend/cuda/kernels/flash_tiles.cuh"
#include "moderngpt2/backend/cuda/launch.hpp"
#include "moderngpt2/core/abi.hpp"

// Kernels of this file and the structs that launch them: argument values, views of GPU memory, and launch(stream),
// which queues the kernels.
namespace moderngpt2::cuda::inline MODERNGPT2_CUDA_ABI {

/// Flash attention on tensor cores, for bf16 and f16. A query whose keys are all padding gets 0 and an lse of infinity.
template <class T>
struct FlashAttention {
  AttentionInputs<T> in;
  Rows<T> o;              ///< (BT,HD)
  float* lse;             ///< (B,H,T) or null
  bool in_packs = false;  ///< set by launch

  void launch(cudaStream_t stream) const;
};

#ifdef MODERNGPT2_CUDA_KERNELS

// Flash attention (Dao et al. 2022, arXiv:2205.14135; Dao 2023, arXiv:2307.08691) with mma.sync. A block computes 64
// queries of one head, a warp 16 of them with probabilities and sums in registers; cp.async loads the next tile of keys
// and values during the products of the current one. D channels; those beyond head_dim are zero.
namespace detail {

template <class T, int D>
struct FlashMemory {
  static constexpr int warps = 4, queries = 16 * warps, keys = D <= 128 ? 64 : 32;
  Tile<T, queries, D> q;  // finally the output
  Tile<T, keys, D> k[2], v[2];
  BlockRange<warps> begins;
};

/// Minimum blocks per multiprocessor for __launch_bounds__ with 64 channels. Without dropout, two registers decide
/// between 3 and 4; from sm_100 on, 4 would spill registers.
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 1000
inline constexpr int max_flash_blocks = 3;
#else
inline constexpr int max_flash_blocks = 4;
#endif
template <int D, bool drop>
inline constexpr int flash_blocks = D != 64 ? 1
                                    : drop  ? 3
                                            : max_flash_blocks;

template <class T, int D, bool drop>
__global__ void __launch_bounds__(128, flash_blocks<D, drop>) flash_attention_kernel(const FlashAttention<T> a) {
  using Memory = FlashMemory<T, D>;
  constexpr int N = Memory::keys, threads = 32 * Memory::warps;
  auto& memory = dynamic_shared<Memory>();
  const AttentionCall& call = a.in.call;
  const int warp = int(threadIdx.x) / 32, c = 2 * (int(threadIdx.x) % 4);
  const int h = int(blockIdx.x) % call.n_head, b = int(blockIdx.x) / call.n_head;
  const int t0 =
      int(gridDim.y - 1 - blockIdx.y) * Memory::queries;  // queries with the most keys first, for load balance
  const int rows = call.time - t0 < Memory::queries ? call.time - t0 : Memory::queries;
  const int head_dim = call.head_dim, column = h / call.group() * head_dim;
  const T* const q = a.in.q.row(b * call.time + t0) + h * head_dim;
  load_tile<threads>(memory.q, q, a.in.q.stride, rows, head_dim, a.in_packs);

  const LaneQueries seen(call, b, t0 + 16 * warp);
  int low, latest_begin;
  seen.range(low, latest_begin, call, memory.begins);
  const int end = call.past + t0 + rows;
  const auto load_keys = [&](int stage, int u0) {
    const int row = b * call.key_rows + u0;
    load_tile<threads>(memory.k[stage], a.in.k.row(row) + column, a.in.k.stride, end - u0, head_dim, a.in_packs);
    load_tile<threads>(memory.v[stage], a.in.v.row(row) + column, a.in.v.stride, end - u0, head_dim, a.in_packs);
  };
  int u0 = low / N * N;
  load_keys(0, u0);
  cp_async_commit();

  RowFragments<T, Memory::queries, D, D <= 128> queries(memory.q, 16 * warp);
  // base: maximum score so far times log2_e, rounded. All terms of a row and the log-sum-exp are relative to the
  // rounded value, so that its rounding error cancels. Keeping the score instead would not: an FMA does not round the
  // product with log2_e, and sums would shrink by 2^-24 of the score with each tile.
  float sums[D / 8][4] = {}, base[2] = {-INFINITY, -INFINITY}, total[2] = {};
  for (int stage = 0; u0 < end; u0 += N, stage ^= 1) {
    if (u0 + N < end) load_keys(stage ^ 1, u0 + N);
    cp_async_commit();
    cp_async_wait<1>();
    __syncthreads();
    if (u0 == low / N * N) queries.load();
    float s[N / 8][4] = {};
    multiply_channels<T>(s, queries, memory.k[stage]);
    if (a.in.softcap > 0) {
      const float cap = a.in.softcap, inverse = 1.0f / cap;
      MODERNGPT2_UNROLL
      for (int n = 0; n < N / 2; ++n) s[n / 4][n % 4] = cap * fast_tanh(s[n / 4][n % 4] * inverse);
    }
    if (call.key_mask || u0 < latest_begin || u0 + N > call.past + t0 + 16 * warp + 1) {
      MODERNGPT2_UNROLL
      for (int n = 0; n < N / 2; ++n) {
        const int key = u0 + n / 4 * 8 + c + n % 2;
        if (!seen.sees(n / 2 % 2, key) || call.masked(b, key)) s[n / 4][n % 4] = -INFINITY;
      }
    }
    MODERNGPT2_UNROLL
    for (int i = 0; i < 2; ++i) {
      float higher = -INFINITY;
      MODERNGPT2_UNROLL
      for (int j = 0; j < N / 8; ++j) higher = fmaxf(higher, fmaxf(s[j][2 * i], s[j][2 * i + 1]));
      higher = fmaxf(higher, __shfl_xor_sync(full_mask, higher, 1));
      higher = fmaxf(higher, __shfl_xor_sync(full_mask, higher, 2));
      const float last = base[i];
      base[i] = fmaxf(last, higher * log2_e);
      const float finite = base[i] == -INFINITY ? 0.0f : base[i];
      const float shrink = fast_exp2(last - finite);
      total[i] *= shrink;
      MODERNGPT2_UNROLL
      for (int j = 0; j < D / 8; ++j) sums[j][2 * i] *= shrink, sums[j][2 * i + 1] *= shrink;
      MODERNGPT2_UNROLL
      for (int n = 0; n < N / 4; ++n) {
        float& p = s[n / 2][2 * i + n % 2];
        p = fast_exp2(p * log2_e - finite);
        total[i] += p;
      }
      if constexpr (drop) {
        const DropoutRow row(a.in.dropout, b, std::uint32_t(h), std::uint32_t(seen.position + 8 * i));
        MODERNGPT2_UNROLL
        for (int g = 0; g < N / 32; ++g) {
          const std::uint32_t bits = kept_columns(row, u0 + 32 * g + c);
          MODERNGPT2_UNROLL
          for (int w = 0; w < 8; ++w)
            if (!(bits >> w & 1)) s[4 * g + w / 2][2 * i + w % 2] = 0;
        }
      }
    }
    multiply_rows<T>(sums, s, memory.v[stage]);
    __syncthreads();
  }

  float scale[2];
  for (int i = 0; i < 2; ++i) {
    total[i] += __shfl_xor_sync(full_mask, total[i], 1);
    total[i] += __shfl_xor_sync(full_mask, total[i], 2);
    const bool nothing = base[i] == -INFINITY;
    scale[i] = nothing ? 0.0f : a.in.dropout.kept / total[i];
    if (a.lse && c == 0 && seen.t + 8 * i < call.time)
      a.lse[(std::int64_t(b) * call.n_head + h) * call.time + seen.t + 8 * i] =
          nothing ? INFINITY : base[i] * ln_2 + logf(total[i]);
  }
  const RowsOut<T> out{a.o.row(b * call.time + t0 + 16 * warp) + h * head_dim, a.o.stride, rows - 16 * warp, head_dim,
                       a.in_packs};
  out.store(memory.q, 16 * warp, sums, scale[0], scale[1]);
}

}  // namespace detail

template <class T>
void FlashAttention<T>::launch(cudaStream_t stream) const {
  FlashAttention a = *this;
  const int head_dim = in.call.head_dim;
  a.in_packs = detail::heads_in_packs(in.q, head_dim) && detail::heads_in_packs(in.k, head_dim) &&
               detail::heads_in_packs(in.v, head_dim) && detail::heads_in_packs(o, head_dim);
  detail::dispatch_head_dim(head_dim, [&](auto d) {
    using Memory = detail::FlashMemory<T, decltype(d)::value>;
    static_assert(sizeof(Memory) <= detail::min_shared_bytes);
    const dim3 grid(unsigned(in.call.batch * in.call.n_head),
                    unsigned((in.call.time + Memory::queries - 1) / Memory::queries));
    const auto kernel = in.dropout.active() ? detail::flash_attention_kernel<T, decltype(d)::value, true>
                                            : detail::flash_attention_kernel<T, decltype(d)::value, false>;
    cuda::launch(stream, kernel, grid, 32 * Memory::warps, sizeof(Memory), a);
  });
}

MODERNGPT2_CUDA_INSTANTIATE_SHORT(FlashAttention);

#endif  // MODERNGPT2_CUDA_KERNELS

}  // namespace moderngpt2::cuda::inline MODERNGPT2_CUDA_ABI
