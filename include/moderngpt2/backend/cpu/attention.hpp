#pragma once

#include <algorithm>
#include <cmath>
#include <limits>
#include <type_traits>

#include "moderngpt2/backend/calls.hpp"
#include "moderngpt2/backend/cpu/attention_tiles.hpp"
#include "moderngpt2/backend/cpu/backend.hpp"
#include "moderngpt2/backend/cpu/decode_attention.hpp"
#include "moderngpt2/backend/cpu/simd.hpp"
#include "moderngpt2/core/abi.hpp"
#include "moderngpt2/core/view.hpp"

// Causal grouped-query attention in tiles with an online softmax (Milakov & Gimelshein 2018; FlashAttention, Dao et al.
// 2022): no (T,T) buffer, only scratch of a few tiles for each thread.
namespace moderngpt2::cpu::inline MODERNGPT2_CPU_ABI {

/// Floats of scratch that `attention` uses for each thread.
template <class T>
constexpr std::int64_t attention_scratch(int head_dim) {
  using namespace detail;
  return std::int64_t(query_tile) * (key_tile + head_dim + 2) + key_tile +
         rounded_tile<T>(std::int64_t(key_tile) * (query_tile + head_dim)) + TileProducts<T>::space(head_dim);
}

template <class T>
void attention(Backend& b, Rows<T> o, float* lse, ConstRows<T> q, ConstRows<T> k, ConstRows<T> v,
               const AttentionCall& call) {
  using namespace detail;
  if (!lse && is_decode(call)) return decode_attention(b, o, q, k, v, call);
  const int D = call.head_dim, tiles = (call.time + query_tile - 1) / query_tile;
  const std::int64_t heads = std::int64_t(call.batch) * call.n_head, each = attention_scratch<T>(D);
  float* scratch = b.scratch<float>(each * b.threads());
  parallel_tasks(b.threads(), heads * tiles, [&](std::int64_t task, int thread) {
    // The last tiles have the most keys, so they are scheduled first to balance the threads.
    const int tile = tiles - 1 - int(task / heads), bh = int(task % heads), seq = bh / call.n_head,
              h = bh % call.n_head;
    const int t0 = tile * query_tile, rows = std::min(query_tile, call.time - t0), g = h / call.group() * D;
    float *s = scratch + each * thread, *acc = s + query_tile * key_tile, *row_top = acc + query_tile * D;
    float *total = row_top + query_tile, *factors = total + query_tile, *rest = factors + key_tile;
    T* probabilities = reinterpret_cast<T*>(std::is_same_v<T, float> ? s : rest);
    T* value_space = probabilities + query_tile * key_tile;
    const TileProducts<T> multiply(b, thread, rest + rounded_tile<T>(std::int64_t(key_tile) * (query_tile + D)));
    std::fill_n(acc, rows * D, 0.0f);
    std::fill_n(row_top, rows, -std::numeric_limits<float>::infinity());
    std::fill_n(total, rows, 0.0f);
    const Rows<const T> queries = q.slice(seq * call.time + t0, rows).columns(h * D, D);
    const int end = call.past + t0 + rows;
    for (int u0 = first_visible_key(call, seq, t0, rows) / key_tile * key_tile; u0 < end; u0 += key_tile) {
      const int keys = std::min(key_tile, end - u0);
      const int key_row = seq * call.key_rows + u0;
      multiply(Transpose::no, Transpose::yes, rows, keys, D, queries, k.slice(key_row, keys).columns(g, D),
               {s, rows, keys}, false);
      for (int i = 0; i < rows; ++i) {
        T* p = probabilities + i * keys;
        const VisibleKeys seen(call, seq, t0 + i, u0, keys);
        std::fill(p, p + seen.low, T(0));
        std::fill(p + seen.high, p + keys, T(0));
        if (seen.low == seen.high) continue;
        const int n = seen.high - seen.low;
        p += seen.low;
        float* visible = s + i * keys + seen.low;
        if (call.softcap > 0) cap_scores(visible, nullptr, n, float(call.softcap));
        if (call.key_mask)
          for (int j = 0; j < n; ++j)
            if (call.masked(seq, u0 + seen.low + j)) visible[j] = -std::numeric_limits<float>::infinity();
        const float top = largest(row_top[i], visible, n);
        if (top == -std::numeric_limits<float>::infinity()) {  // only padding so far
          std::fill_n(p, n, T(0));
          continue;
        }
        const float shrink = std::exp(row_top[i] - top);
        const bool drop = call.dropout.active();
        if (drop)
          dropout_factors(call.dropout, seq, std::uint32_t(h), std::uint32_t(call.past + t0 + i), u0 + seen.low, n,
                          factors);
        f32v sums{};
        vector_loop(n, [&](int j, auto part) {
          const f32v e = exponential(load(visible + j, part) - top);
          if constexpr (std::is_same_v<decltype(part), Part>)
            for (int lane = 0; lane < part.n; ++lane) sums[lane] += e[lane];
          else
            sums += e;
          store(p + j, drop ? e * load(factors + j, part) : e, part);
        });
        total[i] = total[i] * shrink + sum(sums);
        row_top[i] = top;
        if (shrink != 1.0f)
          for (int d = 0; d < D; ++d) acc[i * D + d] *= shrink;
      }
      multiply(Transpose::no, Transpose::no, rows, D, keys, Rows<const T>(probabilities, rows, keys),
               packed<T>(v.slice(key_row, keys).columns(g, D), value_space), {acc, rows, D}, true);
    }
    for (int i = 0; i < rows; ++i) {
      const int t = t0 + i;
      T* out = o.row(seq * call.time + t) + h * D;
      float* row = acc + i * D;
      const bool is_uniform = row_top[i] == -std::numeric_limits<float>::infinity();
      if (is_uniform)
        for_uniform_fallback(call, seq, h, t, [&](int u, float share, float factor) {
          const T* value = v.row(seq * call.key_rows + u) + g;
          for (int d = 0; d < D; ++d) row[d] += share * factor * value[d];
        });
      const float inverse = is_uniform ? 1.0f : 1.0f / total[i];
      for (int d = 0; d < D; ++d) out[d] = T(row[d] * inverse);
      if (lse) lse[std::int64_t(bh) * call.time + t] = is_uniform ? only_padding : row_top[i] + std::log(total[i]);
    }
  });
}

}  // namespace moderngpt2::cpu::inline MODERNGPT2_CPU_ABI
