#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>

#include "moderngpt2/backend/calls.hpp"
#include "moderngpt2/backend/cpu/backend.hpp"
#include "moderngpt2/backend/cpu/simd.hpp"
#include "moderngpt2/core/abi.hpp"
#include "moderngpt2/core/parallel.hpp"
#include "moderngpt2/core/view.hpp"

// Attention of one new token of each sequence to its KV cache. Time is bound by reading keys and values once, so they
// are read in memory order, all heads of a token together. Work is divided into chunks of tokens and, if these are
// fewer than the threads, ranges of heads (split-KV, as in Flash-Decoding).
namespace moderngpt2::cpu::inline MODERNGPT2_CPU_ABI {

namespace detail {

inline constexpr int decode_chunk = 128;  // keys in a task

/// Chunks in the whole capacity of a sequence, so that scratch does not grow while the cache fills.
constexpr int decode_chunks(const AttentionCall& call) { return (call.key_rows + decode_chunk - 1) / decode_chunk; }

/// Floats of the partial result of a chunk for each query head: largest score, sum of exponentials, sum of values (D).
constexpr int decode_part(int head_dim) { return head_dim + 2; }

/// Whether decode_attention supports a call.
constexpr bool is_decode(const AttentionCall& call) {
  return call.time == 1 && call.past > 0 && !call.key_mask && !call.dropout.active();
}

/// Partial results of a chunk of `count` keys, for `heads` key/value heads and their query heads. queries
/// (heads,group,D); keys, values: (count,heads,D) with `stride` elements between tokens; scores
/// (heads,group,decode_chunk), scratch; parts (heads,group,decode_part), the results.
template <class T>
void decode_keys(float* parts, float* scores, const T* queries, const T* keys, const T* values, std::int64_t stride,
                 int count, int heads, const AttentionCall& call) {
  const int D = call.head_dim, group = call.group();
  for (int u = 0; u < count; ++u)
    for (int kv = 0; kv < heads; ++kv)
      for (int h = kv * group; h < (kv + 1) * group; ++h)
        scores[h * decode_chunk + u] = dot(queries + h * D, keys + u * stride + kv * D, D);
  for (int h = 0; h < heads * group; ++h) {
    float *s = scores + h * decode_chunk, *part = parts + h * decode_part(D);
    if (call.softcap > 0) {
      const float cap = float(call.softcap);
      vector_loop(count,
                  [&](int i, auto p) { store(s + i, hyperbolic_tangent(load(s + i, p) * (1.0f / cap)) * cap, p); });
    }
    const float top = largest(-std::numeric_limits<float>::infinity(), s, count);
    f32v sums{};
    vector_loop(count, [&](int i, auto p) {
      store(s + i, exponential(load(s + i, p) - top), p);
      sums += load(s + i, p);
    });
    part[0] = top, part[1] = sum(sums);
    std::fill_n(part + 2, D, 0.0f);
  }
  for (int u = 0; u < count; ++u)
    for (int kv = 0; kv < heads; ++kv)
      vector_loop(D, [&](int d, auto p) {
        const f32v value = load(values + u * stride + kv * D + d, p);
        for (int h = kv * group; h < (kv + 1) * group; ++h) {
          float* sum = parts + h * decode_part(D) + 2 + d;
          store(sum, load(sum, p) + value * scores[h * decode_chunk + u], p);
        }
      });
}

}  // namespace detail

/// Floats of scratch that decode_attention uses.
constexpr std::int64_t decode_attention_scratch(const AttentionCall& call, int threads) {
  return call.n_head * (std::int64_t(call.batch) * detail::decode_chunks(call) * detail::decode_part(call.head_dim) +
                        std::int64_t(threads) * detail::decode_chunk);
}

/// o (B,HD) of one query for each sequence (detail::is_decode); k and v as for attention().
template <class T>
void decode_attention(Backend& b, Rows<T> o, ConstRows<T> q, ConstRows<T> k, ConstRows<T> v,
                      const AttentionCall& call) {
  using namespace detail;
  const int D = call.head_dim, K = call.n_kv_head, H = call.n_head, group = call.group(), part = decode_part(D);
  const int chunks = decode_chunks(call), used = (call.keys() - 1) / decode_chunk + 1;
  float* parts = b.scratch<float>(decode_attention_scratch(call, b.threads()));  // (B, chunks, H, part)
  float* scores = parts + std::int64_t(call.batch) * chunks * H * part;
  const int busy = call.window > 0 ? std::min(used, call.window / decode_chunk + 2) : used;  // chunks in the window
  const int ranges = std::clamp(2 * b.threads() / (call.batch * busy), 1, K);
  parallel_tasks(b.threads(), std::int64_t(call.batch) * used * ranges, [&](std::int64_t task, int thread) {
    const int range = int(task % ranges), chunk = int(task / ranges % used), seq = int(task / ranges / used);
    const int head = K * range / ranges, heads = K * (range + 1) / ranges - head;
    const int past = call.past_of(seq), first = std::max(chunk * decode_chunk, call.begin(seq, 0, past));
    const int count = std::min((chunk + 1) * decode_chunk, past + 1) - first, row = seq * call.key_rows + first;
    if (count <= 0) return;
    decode_keys(parts + ((std::int64_t(seq) * chunks + chunk) * H + head * group) * part,
                scores + std::int64_t(thread) * H * decode_chunk, q.row(seq) + head * group * D, k.row(row) + head * D,
                v.row(row) + head * D, k.stride, count, heads, call);
  });
  for (int seq = 0; seq < call.batch; ++seq) {
    const int past = call.past_of(seq), begin = call.begin(seq, 0, past) / decode_chunk, end = past / decode_chunk + 1;
    for (int h = 0; h < H; ++h) {
      float* first = parts + (std::int64_t(seq) * chunks * H + h) * part;
      const auto of = [&](int chunk) { return first + std::int64_t(chunk) * H * part; };
      float top = -std::numeric_limits<float>::infinity(), total = 0;
      for (int c = begin; c < end; ++c) top = std::max(top, of(c)[0]);
      for (int c = begin; c < end; ++c) total += of(c)[1] * std::exp(of(c)[0] - top);
      for (int c = begin; c < end; ++c) of(c)[1] = std::exp(of(c)[0] - top) / total;  // now the weight of the chunk
      vector_loop(D, [&](int d, auto p) {
        f32v sum{};
        for (int c = begin; c < end; ++c) sum += load(of(c) + 2 + d, p) * of(c)[1];
        store(o.row(seq) + h * D + d, sum, p);
      });
    }
  }
}

}  // namespace moderngpt2::cpu::inline MODERNGPT2_CPU_ABI
