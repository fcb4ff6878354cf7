#pragma once

#include <algorithm>
#include <cmath>
#include <limits>

#include "moderngpt2/backend/calls.hpp"
#include "moderngpt2/backend/cpu/attention.hpp"
#include "moderngpt2/backend/cpu/backend.hpp"
#include "moderngpt2/backend/cpu/simd.hpp"
#include "moderngpt2/core/view.hpp"

// One query a sequence against a cache. The work is to read the keys and values once, so the loops go along memory: the
// innermost over the heads of one key, since a row of the cache holds the heads side by side.
namespace moderngpt2::cpu {

namespace detail {

/// Softmax of the scores [begin, end) of one head in place; softcap and key mask come first. A query that sees no key
/// gets zeros.
inline void softmax_of_scores(float* s, const AttentionCall& call, int b, int begin, int end) {
  constexpr float nothing = -std::numeric_limits<float>::infinity();
  const int n = end - begin;
  if (n <= 0) return;
  if (call.softcap > 0) cap_scores(s + begin, nullptr, n, float(call.softcap));
  if (call.key_mask)
    for (int u = begin; u < end; ++u)
      if (call.masked(b, u)) s[u] = nothing;
  const float top = largest(nothing, s + begin, n);
  if (top == nothing) return void(std::fill_n(s + begin, n, 0.0f));
  float total = 0;
  vector_loop(n, [&](int i, auto part) { store(s + begin + i, exponential(load(s + begin + i, part) - top), part); });
  for (int u = begin; u < end; ++u) total += s[u];
  const float inverse = 1.0f / total;
  vector_loop(n, [&](int i, auto part) { store(s + begin + i, load(s + begin + i, part) * inverse, part); });
}

}  // namespace detail

/// `attention` for call.time 1, without dropout: o, q (B,HD); k, v (B key_rows, KD). Threads share the key/value heads,
/// and results do not depend on how.
inline void decode_attention(Backend& b, Rows<float> o, Rows<const float> q, Rows<const float> k, Rows<const float> v,
                             const AttentionCall& call) {
  const int D = call.head_dim, G = call.group(), keys = call.keys();
  const int parts = std::min(b.threads(), call.n_kv_head);
  float* scores = b.scratch<float>(std::int64_t(call.batch) * call.n_head * call.key_rows);  // (B,H,key_rows)
  parallel_tasks(parts, std::int64_t(call.batch) * parts, [&](std::int64_t task, int) {
    const int seq = int(task / parts), part = int(task % parts);
    const int first = call.n_kv_head * part / parts, last = call.n_kv_head * (part + 1) / parts;
    const int begin = std::min(call.begin(seq, 0), keys);
    const auto row = [&](const Rows<const float>& x, int u) { return x.data + (std::int64_t(seq) * call.key_rows + u) * x.stride; };
    float* s = scores + std::int64_t(seq) * call.n_head * call.key_rows;
    for (int u = begin; u < keys; ++u)
      for (int g = first; g < last; ++g)
        for (int h = g * G; h < (g + 1) * G; ++h)
          s[std::int64_t(h) * call.key_rows + u] = dot(q.row(seq) + h * D, row(k, u) + g * D, D);
    for (int h = first * G; h < last * G; ++h) {
      detail::softmax_of_scores(s + std::int64_t(h) * call.key_rows, call, seq, begin, keys);
      std::fill_n(o.row(seq) + h * D, D, 0.0f);
    }
    for (int u = begin; u < keys; ++u)
      for (int g = first; g < last; ++g)
        for (int h = g * G; h < (g + 1) * G; ++h) {
          const float p = s[std::int64_t(h) * call.key_rows + u];
          float* out = o.row(seq) + h * D;
          const float* value = row(v, u) + g * D;
          vector_loop(D, [&](int i, auto lanes_of) {
            store(out + i, load(out + i, lanes_of) + load(value + i, lanes_of) * p, lanes_of);
          });
        }
  });
}

}  // namespace moderngpt2::cpu
