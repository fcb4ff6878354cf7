#pragma once

#include <algorithm>
#include <cmath>
#include <limits>
#include <type_traits>

#include "moderngpt2/backend/calls.hpp"
#include "moderngpt2/backend/cpu/attention_tiles.hpp"
#include "moderngpt2/backend/cpu/backend.hpp"
#include "moderngpt2/backend/cpu/simd.hpp"
#include "moderngpt2/core/abi.hpp"
#include "moderngpt2/core/view.hpp"

// Backward pass of attention in the tiles of the forward pass: recomputes probabilities from the saved log-sum-exp.
// Derivation: docs/math.md.
namespace moderngpt2::cpu::inline MODERNGPT2_CPU_ABI {

/// Floats of scratch that `attention_backward` uses for each thread.
template <class T>
constexpr std::int64_t attention_backward_scratch(int time, int group, int head_dim) {
  using namespace detail;
  const std::int64_t rounded = 2 * query_tile * key_tile + std::int64_t(key_tile + 2 * query_tile) * head_dim;
  const std::int64_t queries = std::int64_t(time) * group;
  return std::int64_t(2) * query_tile * key_tile + std::int64_t(2) * key_tile * (head_dim + 1) +
         rounded_tile<T>(rounded) + TileProducts<T>::space(head_dim) + queries +
         (std::is_same_v<T, float> ? 0 : queries * head_dim);
}

namespace detail {

/// Adds the gradients through query t of head h, which sees only padding, to those of the tiles. dq (D): gradient of
/// the query.
template <class T>
void backward_uniform_fallback(float* dq, Rows<T> dk, Rows<T> dv, Rows<const T> d_o, Rows<const T> q, Rows<const T> k,
                               Rows<const T> v, const AttentionCall& call, int seq, int h, int t, float mean) {
  const int D = call.head_dim, row = seq * call.time + t, g = h / call.group() * D;
  const T *query = q.row(row) + h * D, *d_out = d_o.row(row) + h * D;
  for_uniform_fallback(call, seq, h, t, [&](int u, float share, float factor) {
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

/// Each task computes a sequence and a key/value head with all of its query heads, so that no two tasks write the same
/// gradient and sums have the same order for any thread count. Requires past 0.
template <class T>
void attention_backward(Backend& b, Rows<T> dq, Rows<T> dk, Rows<T> dv, ConstRows<T> d_o, ConstRows<T> o,
                        const float* lse, ConstRows<T> q, ConstRows<T> k, ConstRows<T> v, const AttentionCall& call) {
  using namespace detail;
  const int D = call.head_dim, time = call.time, group = call.group();
  const std::int64_t each = attention_backward_scratch<T>(time, group, D);
  float* scratch = b.scratch<float>(each * b.threads());
  parallel_tasks(b.threads(), std::int64_t(call.batch) * call.n_kv_head, [&](std::int64_t task, int thread) {
    const int seq = int(task) / call.n_kv_head, kv = int(task) % call.n_kv_head, row0 = seq * time;
    float *s = scratch + each * thread, *dp = s + query_tile * key_tile, *tanh = dp + query_tile * key_tile;
    float *factors = tanh + key_tile, *dk_sum = factors + key_tile, *dv_sum = dk_sum + key_tile * D;
    float* rest = dv_sum + key_tile * D;
    T *p = reinterpret_cast<T*>(s), *ds = reinterpret_cast<T*>(dp), *key_space = nullptr, *query_space = nullptr,
      *d_out_space = nullptr;  // probabilities and gradients of scores, in place where they are fp32
    if constexpr (!std::is_same_v<T, float>) {
      p = reinterpret_cast<T*>(rest), ds = p + query_tile * key_tile, key_space = ds + query_tile * key_tile;
      query_space = key_space + key_tile * D, d_out_space = query_space + query_tile * D;
      rest = reinterpret_cast<float*>(d_out_space + query_tile * D);
    }
    const TileProducts<T> multiply(b, thread, rest);
    rest += TileProducts<T>::space(D);
    float* mean = rest;  // (group,T) sum over keys of p dp, which equals o . do
    const Rows<T> dq_rows = dq.slice(row0, time).columns(kv * group * D, group * D);
    Rows<float> dq_sum(mean + std::int64_t(group) * time, time, group * D);  // dq itself if fp32
    if constexpr (std::is_same_v<T, float>) dq_sum = dq_rows;
    for (int j = 0; j < group; ++j)
      for (int t = 0; t < time; ++t) {
        const int h = kv * group + j;
        mean[j * time + t] = dot(o.row(row0 + t) + h * D, d_o.row(row0 + t) + h * D, D);
        std::fill_n(dq_sum.row(t) + j * D, D, 0.0f);
      }
    for (int u0 = 0; u0 < time; u0 += key_tile) {
      const int keys = std::min(key_tile, time - u0);
      const Rows<const T> key = packed<T>(k.slice(row0 + u0, keys).columns(kv * D, D), key_space);
      const Rows<const T> value = v.slice(row0 + u0, keys).columns(kv * D, D);
      std::fill_n(dk_sum, keys * D, 0.0f);
      std::fill_n(dv_sum, keys * D, 0.0f);
      for (int j = 0; j < group; ++j)
        for (int t0 = u0 / query_tile * query_tile; t0 < time; t0 += query_tile) {
          const int rows = std::min(query_tile, time - t0), h = kv * group + j;
          if (first_visible_key(call, seq, t0, rows) >= u0 + keys) continue;
          const int seen_keys = std::min(keys, t0 + rows - u0);  // the last query sees no later ones
          const Rows<const T> queries = packed<T>(q.slice(row0 + t0, rows).columns(h * D, D), query_space);
          const Rows<const T> d_out = packed<T>(d_o.slice(row0 + t0, rows).columns(h * D, D), d_out_space);
          const Rows<const T> seen_key = key.slice(0, seen_keys);
          multiply(Transpose::no, Transpose::yes, rows, seen_keys, D, queries, seen_key, {s, rows, seen_keys}, false);
          multiply(Transpose::no, Transpose::yes, rows, seen_keys, D, d_out, value.slice(0, seen_keys),
                   {dp, rows, seen_keys}, false);
          for (int i = 0; i < rows; ++i) {
            const int t = t0 + i;
            const VisibleKeys seen(call, seq, t, u0, seen_keys);
            T *to_p = p + i * seen_keys, *to_ds = ds + i * seen_keys;
            std::fill(to_p, to_p + seen.low, T(0)), std::fill(to_ds, to_ds + seen.low, T(0));
            std::fill(to_p + seen.high, to_p + seen_keys, T(0)), std::fill(to_ds + seen.high, to_ds + seen_keys, T(0));
            const int n = seen.high - seen.low;
            if (n == 0) continue;
            float *pi = s + i * seen_keys + seen.low, *di = dp + i * seen_keys + seen.low;
            to_p += seen.low, to_ds += seen.low;
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
              f32v d = probability * (load(di + c, part) * factor - row_mean);
              if (call.softcap > 0) {
                const f32v slope = load(tanh + c, part);
                d *= 1.0f - slope * slope;
              }
              store(to_p + c, probability * factor, part);
              store(to_ds + c, d, part);
            });
          }
          const Rows<const T> tile_p(p, rows, seen_keys), tile_ds(ds, rows, seen_keys);
          multiply(Transpose::yes, Transpose::no, seen_keys, D, rows, tile_p, d_out, {dv_sum, seen_keys, D}, true);
          multiply(Transpose::yes, Transpose::no, seen_keys, D, rows, tile_ds, queries, {dk_sum, seen_keys, D}, true);
          multiply(Transpose::no, Transpose::no, rows, D, seen_keys, tile_ds, seen_key,
                   dq_sum.slice(t0, rows).columns(j * D, D), true);
        }
      for (int u = 0; u < keys; ++u) {
        convert(dk.row(row0 + u0 + u) + kv * D, dk_sum + u * D, D);
        convert(dv.row(row0 + u0 + u) + kv * D, dv_sum + u * D, D);
      }
    }
    for (int j = 0; j < group; ++j)
      for (int t = 0, h = kv * group + j; t < time; ++t)
        if (lse[(std::int64_t(seq) * call.n_head + h) * time + t] == only_padding)
          backward_uniform_fallback<T>(dq_sum.row(t) + j * D, dk, dv, d_o, q, k, v, call, seq, h, t,
                                       mean[j * time + t]);
    if constexpr (!std::is_same_v<T, float>)
      for (int t = 0; t < time; ++t) convert(dq_rows.row(t), dq_sum.row(t), group * D);
  });
}

}  // namespace moderngpt2::cpu::inline MODERNGPT2_CPU_ABI
