#pragma once

#include <algorithm>
#include <cmath>
#include <limits>
#include <type_traits>

#include "moderngpt2/backend/calls.hpp"
#include "moderngpt2/backend/cpu/backend.hpp"
#include "moderngpt2/backend/cpu/decode_attention.hpp"
#include "moderngpt2/backend/cpu/product.hpp"
#include "moderngpt2/backend/cpu/simd.hpp"
#include "moderngpt2/core/view.hpp"

// Causal grouped-query attention in tiles with an online softmax (Milakov & Gimelshein 2018; Dao et al. 2022): no
// (T,T) buffer, scratch of a few tiles a thread. Derivation of the backward pass: docs/math.md.
namespace moderngpt2::cpu {

namespace detail {

inline constexpr int query_tile = 64, key_tile = 128;

/// The part [low, high) of a key tile that a query row sees, relative to the tile's first key.
struct VisibleKeys {
  int low, high;
  VisibleKeys(const AttentionCall& call, int b, int t, int first, int count)
      : low(std::clamp(call.begin(b, t) - first, 0, count)), high(std::clamp(call.past + t + 1 - first, 0, count)) {
    low = std::min(low, high);
  }
};

/// s = c tanh(s / c) on a row; the tanh goes to `tanh` when it is given.
inline void cap_scores(float* s, float* tanh, int n, float cap) {
  vector_loop(n, [&](int i, auto part) {
    const f32v t = hyperbolic_tangent(load(s + i, part) * (1.0f / cap));
    if (tanh) store(tanh + i, t, part);
    store(s + i, t * cap, part);
  });
}

/// First key that any query of a tile sees.
inline int first_visible_key(const AttentionCall& call, int b, int t0, int rows) {
  int first = call.keys();
  for (int t = t0; t < t0 + rows; ++t) first = std::min(first, call.begin(b, t));
  return first;
}

/// Marks, in place of a log-sum-exp, a query all of whose keys are padding: exp(s - infinity) is 0 in the tiles, and
/// its even shares (AttentionCall::in_even_share) are added apart.
inline constexpr float only_padding = std::numeric_limits<float>::infinity();

/// Calls f(key, probability, dropout factor) for every key of a query that sees only padding.
template <class F>
void for_even_shares(const AttentionCall& call, int b, int h, int t, F&& f) {
  const float share = 1.0f / float(call.even_share(b, t));
  for (int u = 0; u < call.keys(); ++u) {
    if (!call.in_even_share(b, t, u)) continue;
    float factor = 1;
    if (call.dropout.active())
      dropout_factors(call.dropout, b, std::uint32_t(h), std::uint32_t(call.past + t), u, 1, &factor);
    f(u, share, factor);
  }
}

}  // namespace detail

namespace detail {

/// Floats for the tiles of a query and a key that are expanded to fp32.
template <class T>
constexpr std::int64_t expanded_tiles(int head_dim) {
  return std::is_same_v<T, float> ? 0 : std::int64_t(query_tile + key_tile) * head_dim;
}

template <class T>
Rows<const float> as_floats(Rows<const T> rows, float* space) {
  return as_floats(rows.data, rows.count, rows.width, rows.stride, space);
}

}  // namespace detail

/// Floats of scratch that `attention` takes a thread.
template <class T>
constexpr std::int64_t attention_scratch(int head_dim) {
  return std::int64_t(detail::query_tile) * (detail::key_tile + head_dim + 2) + detail::key_tile +
         detail::expanded_tiles<T>(head_dim);
}

template <class T>
void attention(Backend& b, Rows<T> o, float* lse, ConstRows<T> q, ConstRows<T> k, ConstRows<T> v,
               const AttentionCall& call) {
  using namespace detail;
  if (!lse && is_decode(call)) return decode_attention(b, o, q, k, v, call);
  const int D = call.head_dim, tiles = (call.time + query_tile - 1) / query_tile;
  const std::int64_t heads = std::int64_t(call.batch) * call.n_head, each = attention_scratch<T>(D);
  float* scratch = b.scratch<float>(each * b.threads());
  const ThreadScope products_alone(1);  // also where one task, or one thread, starts no parallel region
  parallel_tasks(b.threads(), heads * tiles, [&](std::int64_t task, int thread) {
    // The last tiles see the most keys: they go first, so that threads finish together.
    const int tile = tiles - 1 - int(task / heads), bh = int(task % heads), seq = bh / call.n_head,
              h = bh % call.n_head;
    const int t0 = tile * query_tile, rows = std::min(query_tile, call.time - t0), g = h / call.group() * D;
    float *s = scratch + each * thread, *acc = s + query_tile * key_tile, *row_top = acc + query_tile * D;
    float *total = row_top + query_tile, *factors = total + query_tile;
    float *query_space = factors + key_tile, *key_space = query_space + query_tile * D;
    std::fill_n(acc, rows * D, 0.0f);
    std::fill_n(row_top, rows, -std::numeric_limits<float>::infinity());
    std::fill_n(total, rows, 0.0f);
    const Rows<const float> queries = as_floats(q.slice(seq * call.time + t0, rows).columns(h * D, D), query_space);
    const int end = call.past + t0 + rows;
    for (int u0 = first_visible_key(call, seq, t0, rows) / key_tile * key_tile; u0 < end; u0 += key_tile) {
      const int keys = std::min(key_tile, end - u0);
      const int key_row = seq * call.key_rows + u0;
      const Rows<const float> key = as_floats(k.slice(key_row, keys).columns(g, D), key_space);
      gemm(Transpose::no, Transpose::yes, rows, keys, D, queries.data, queries.stride, key.data, key.stride, s, keys,
           false);
      for (int i = 0; i < rows; ++i) {
        float* p = s + i * keys;
        const VisibleKeys seen(call, seq, t0 + i, u0, keys);
        std::fill(p, p + seen.low, 0.0f);
        std::fill(p + seen.high, p + keys, 0.0f);
        if (seen.low == seen.high) continue;
        const int n = seen.high - seen.low;
        float* visible = p + seen.low;
        if (call.softcap > 0) cap_scores(visible, nullptr, n, float(call.softcap));
        if (call.key_mask)
          for (int j = seen.low; j < seen.high; ++j)
            if (call.masked(seq, u0 + j)) p[j] = -std::numeric_limits<float>::infinity();
        const float top = largest(row_top[i], visible, n);
        if (top == -std::numeric_limits<float>::infinity()) {  // only padding so far
          std::fill_n(visible, n, 0.0f);
          continue;
        }
        const float shrink = std::exp(row_top[i] - top);
        f32v sums{};
        vector_loop(n, [&](int j, auto part) {
          const f32v e = exponential(load(visible + j, part) - top);
          store(visible + j, e, part);
          if constexpr (std::is_same_v<decltype(part), Part>)
            sums += load(visible + j, part);
          else
            sums += e;
        });
        total[i] = total[i] * shrink + sum(sums);
        row_top[i] = top;
        for (int d = 0; d < D; ++d) acc[i * D + d] *= shrink;
        if (call.dropout.active()) {
          dropout_factors(call.dropout, seq, std::uint32_t(h), std::uint32_t(call.past + t0 + i), u0 + seen.low, n,
                          factors);
          for (int j = 0; j < n; ++j) visible[j] *= factors[j];
        }
      }
      const Rows<const float> value = as_floats(v.slice(key_row, keys).columns(g, D), key_space);
      gemm(Transpose::no, Transpose::no, rows, D, keys, s, keys, value.data, value.stride, acc, D, true);
    }
    for (int i = 0; i < rows; ++i) {
      const int t = t0 + i;
      T* out = o.row(seq * call.time + t) + h * D;
      float* row = acc + i * D;
      const bool evenly = row_top[i] == -std::numeric_limits<float>::infinity();
      if (evenly)
        for_even_shares(call, seq, h, t, [&](int u, float share, float factor) {
          const T* value = v.row(seq * call.key_rows + u) + g;
          for (int d = 0; d < D; ++d) row[d] += share * factor * value[d];
        });
      const float inverse = evenly ? 1.0f : 1.0f / total[i];
      for (int d = 0; d < D; ++d) out[d] = T(row[d] * inverse);
      if (lse) lse[std::int64_t(bh) * call.time + t] = evenly ? only_padding : row_top[i] + std::log(total[i]);
    }
  });
}

/// Floats of scratch that `attention_backward` takes a thread.
template <class T>
constexpr std::int64_t attention_backward_scratch(int time, int group, int head_dim) {
  return std::int64_t(detail::query_tile) * detail::key_tile * 3 + std::int64_t(detail::key_tile) * (2 * head_dim + 1) +
         std::int64_t(time) * group + 2 * detail::expanded_tiles<T>(head_dim) +
         (std::is_same_v<T, float> ? 0 : std::int64_t(time) * group * head_dim);
}

namespace detail {

/// Gradients through query t of head h, which sees only padding, added to those of the tiles; `dq` is that of the
/// query.
template <class T>
void backward_even_shares(float* dq, Rows<T> dk, Rows<T> dv, Rows<const T> d_o, Rows<const T> q, Rows<const T> k,
                          Rows<const T> v, const AttentionCall& call, int seq, int h, int t, float mean) {
  const int D = call.head_dim, row = seq * call.time + t, g = h / call.group() * D;
  const T *query = q.row(row) + h * D, *d_out = d_o.row(row) + h * D;
  for_even_shares(call, seq, h, t, [&](int u, float share, float factor) {
    const int key_row = seq * call.key_rows + u;
    const T* key = k.row(key_row) + g;
    T *to_key = dk.row(key_row) + g, *to_value = dv.row(key_row) + g;
    float ds = share * (dot(d_out, v.row(key_row) + g, D) * factor - mean);
    if (call.softcap > 0) {
      const float tanh = std::tanh(dot(query, key, D) / float(call.softcap));
      ds *= 1.0f - tanh * tanh;
    }
    for (int d = 0; d < D; ++d) {
      to_value[d] = T(to_value[d] + share * factor * d_out[d]);
      to_key[d] = T(to_key[d] + ds * query[d]);
      dq[d] += ds * key[d];
    }
  });
}

}  // namespace detail

/// One task is a sequence and a key/value head with all of its query heads, so that no two tasks write the same
/// gradient: sums keep their order for any thread count. Training only: past is 0.
template <class T>
void attention_backward(Backend& b, Rows<T> dq, Rows<T> dk, Rows<T> dv, ConstRows<T> d_o, ConstRows<T> o,
                        const float* lse, ConstRows<T> q, ConstRows<T> k, ConstRows<T> v, const AttentionCall& call) {
  using namespace detail;
  const int D = call.head_dim, time = call.time, group = call.group();
  const std::int64_t each = attention_backward_scratch<T>(time, group, D);
  float* scratch = b.scratch<float>(each * b.threads());
  const ThreadScope products_alone(1);  // also where one task, or one thread, starts no parallel region
  parallel_tasks(b.threads(), std::int64_t(call.batch) * call.n_kv_head, [&](std::int64_t task, int thread) {
    const int seq = int(task) / call.n_kv_head, kv = int(task) % call.n_kv_head, row0 = seq * time;
    float *p = scratch + each * thread, *dp = p + query_tile * key_tile, *tanh = dp + query_tile * key_tile;
    float *dk_sum = tanh + query_tile * key_tile, *dv_sum = dk_sum + key_tile * D, *factors = dv_sum + key_tile * D;
    float* mean = factors + key_tile;  // (group,T) sum over keys of p dp, which equals o . do
    float *query_space = mean + std::int64_t(time) * group, *d_out_space = query_space + query_tile * D;
    float *key_space = d_out_space + query_tile * D, *value_space = key_space + key_tile * D;
    const Rows<T> dq_rows = dq.slice(row0, time).columns(kv * group * D, group * D);
    Rows<float> dq_sum(value_space + key_tile * D, time, group * D);  // (T,group D), in dq itself where that is fp32
    if constexpr (std::is_same_v<T, float>) dq_sum = dq_rows;
    for (int j = 0; j < group; ++j)
      for (int t = 0; t < time; ++t) {
        const int h = kv * group + j;
        mean[j * time + t] = dot(o.row(row0 + t) + h * D, d_o.row(row0 + t) + h * D, D);
        std::fill_n(dq_sum.row(t) + j * D, D, 0.0f);
      }
    for (int u0 = 0; u0 < time; u0 += key_tile) {
      const int keys = std::min(key_tile, time - u0);
      const Rows<const float> key = as_floats(k.slice(row0 + u0, keys).columns(kv * D, D), key_space);
      const Rows<const float> value = as_floats(v.slice(row0 + u0, keys).columns(kv * D, D), value_space);
      std::fill_n(dk_sum, keys * D, 0.0f);
      std::fill_n(dv_sum, keys * D, 0.0f);
      for (int j = 0; j < group; ++j)
        for (int t0 = u0 / query_tile * query_tile; t0 < time; t0 += query_tile) {
          const int rows = std::min(query_tile, time - t0), h = kv * group + j;
          if (first_visible_key(call, seq, t0, rows) >= u0 + keys) continue;
          const Rows<const float> queries = as_floats(q.slice(row0 + t0, rows).columns(h * D, D), query_space);
          const Rows<const float> d_out = as_floats(d_o.slice(row0 + t0, rows).columns(h * D, D), d_out_space);
          const Rows<float> d_query = dq_sum.slice(t0, rows).columns(j * D, D);
          gemm(Transpose::no, Transpose::yes, rows, keys, D, queries.data, queries.stride, key.data, key.stride, p,
               keys, false);
          gemm(Transpose::no, Transpose::yes, rows, keys, D, d_out.data, d_out.stride, value.data, value.stride, dp,
               keys, false);
          for (int i = 0; i < rows; ++i) {
            const int t = t0 + i;
            float *pi = p + i * keys, *di = dp + i * keys;
            const VisibleKeys seen(call, seq, t, u0, keys);
            std::fill(pi, pi + seen.low, 0.0f), std::fill(di, di + seen.low, 0.0f);
            std::fill(pi + seen.high, pi + keys, 0.0f), std::fill(di + seen.high, di + keys, 0.0f);
            const int n = seen.high - seen.low;
            if (n == 0) continue;
            pi += seen.low, di += seen.low;
            if (call.softcap > 0) cap_scores(pi, tanh, n, float(call.softcap));
            if (call.key_mask)
              for (int c = 0; c < n; ++c)
                if (call.masked(seq, u0 + seen.low + c)) pi[c] = -std::numeric_limits<float>::infinity();
            const float row_lse = lse[(std::int64_t(seq) * call.n_head + h) * time + t], row_mean = mean[j * time + t];
            const bool drop = call.dropout.active();
            if (drop) dropout_factors(call.dropout, seq, std::uint32_t(h), std::uint32_t(t), u0 + seen.low, n, factors);
            vector_loop(n, [&](int c, auto part) {
              const f32v probability = exponential(load(pi + c, part) - row_lse);
              const f32v factor = drop ? load(factors + c, part) : broadcast(1.0f);
              f32v ds = probability * (load(di + c, part) * factor - row_mean);
              if (call.softcap > 0) {
                const f32v slope = load(tanh + c, part);
                ds *= 1.0f - slope * slope;
              }
              store(pi + c, probability * factor, part);
              store(di + c, ds, part);
            });
          }
          gemm(Transpose::yes, Transpose::no, keys, D, rows, p, keys, d_out.data, d_out.stride, dv_sum, D, true);
          gemm(Transpose::yes, Transpose::no, keys, D, rows, dp, keys, queries.data, queries.stride, dk_sum, D, true);
          gemm(Transpose::no, Transpose::no, rows, D, keys, dp, keys, key.data, key.stride, d_query.data,
               d_query.stride, true);
        }
      for (int u = 0; u < keys; ++u) {
        convert(dk.row(row0 + u0 + u) + kv * D, dk_sum + u * D, D);
        convert(dv.row(row0 + u0 + u) + kv * D, dv_sum + u * D, D);
      }
    }
    for (int j = 0; j < group; ++j)
      for (int t = 0, h = kv * group + j; t < time; ++t)
        if (lse[(std::int64_t(seq) * call.n_head + h) * time + t] == only_padding)
          backward_even_shares<T>(dq_sum.row(t) + j * D, dk, dv, d_o, q, k, v, call, seq, h, t, mean[j * time + t]);
    if constexpr (!std::is_same_v<T, float>)
      for (int t = 0; t < time; ++t) convert(dq_rows.row(t), dq_sum.row(t), group * D);
  });
}

}  // namespace moderngpt2::cpu
