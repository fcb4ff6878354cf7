#pragma once

#include <array>
#include <cstdint>

#include "moderngpt2/backend/calls.hpp"
#include "moderngpt2/backend/host.hpp"
#include "moderngpt2/config/config.hpp"
#include "moderngpt2/config/layer_types.hpp"
#include "moderngpt2/core/error.hpp"
#include "moderngpt2/core/memory.hpp"
#include "moderngpt2/core/scalar.hpp"
#include "moderngpt2/layers/joint_linear.hpp"
#include "moderngpt2/layers/linear.hpp"
#include "moderngpt2/layers/pass.hpp"

namespace moderngpt2 {

/// Rotates heads (BT,HD) by the positions of their tokens, times `scale`.
template <class B, class T, class R>
void rotate_by_position(B& b, Rows<T> heads, const Pass<R>& pass, R scale) {
  if (pass.pasts)
    rotary(b, heads, pass.rotary, pass.time, pass.pasts, scale);
  else
    rotary(b, heads, pass.rotary, pass.time, pass.past, scale);
}

/// Writes rows (BT,KD) of a pass into the cache (B,capacity,KD), after the cached tokens of each sequence. With one
/// new token for each sequence this is one operation, so that decoding a batch on a GPU queues as few operations as
/// decoding one sequence.
template <class B, class T, class R>
void append_to_cache(B& b, T* cache, Rows<T> rows, const Pass<R>& pass, int capacity) {
  if (pass.pasts) return append_rows(b, Rows<T>(cache, pass.batch * capacity, rows.width), rows, pass.pasts);
  const std::int64_t sequence = std::int64_t(capacity) * rows.width;
  T* const end = cache + std::int64_t(pass.past) * rows.width;
  constexpr std::int64_t max_stride = INT32_MAX / std::int64_t(sizeof(T));  // largest pitch of a strided copy in CUDA
  if (pass.time == 1 && sequence <= max_stride)
    return copy_rows(b, Rows<T>(end, pass.batch, rows.width, int(sequence)), rows);
  for (int seq = 0; seq < pass.batch; ++seq)
    copy_rows(b, Rows<T>(end + seq * sequence, pass.time, rows.width), rows.slice(seq * pass.time, pass.time));
}

/// Arguments of attention in a pass, without softcap, window and dropout.
template <class R>
AttentionCall attention_call(const Pass<R>& pass, int n_head, int n_kv_head, int head_dim) {
  return {.batch = pass.batch,
          .time = pass.time,
          .past = pass.past,
          .key_rows = pass.time,
          .n_head = n_head,
          .n_kv_head = n_kv_head,
          .head_dim = head_dim,
          .key_mask = pass.key_mask,
          .first_key = pass.first_key,
          .pasts = pass.pasts,
          .dropout = {}};
}

/// Attention o (BT,HD) of q over k and v (BT,KD). Without a cache (capacity 0), leaves the log-sum-exp in `lse`. With
/// one, first appends k and v to it; queries then attend to all cached tokens.
template <class B, class T, class R>
void attention_with_cache(B& b, Rows<T> o, compute_t<T>* lse, Rows<T> q, Rows<T> k, Rows<T> v, KvView<T> cache,
                          const Pass<R>& pass, AttentionCall call) {
  if (cache.capacity == 0) {
    if (pass.pasts) throw Error("internal: Pass::pasts without a KV cache");
    return attention(b, o, lse, q, k, v, call);
  }
  append_to_cache(b, cache.keys, k, pass, cache.capacity);
  append_to_cache(b, cache.values, v, pass, cache.capacity);
  call.key_rows = cache.capacity;
  const int cached = pass.batch * cache.capacity;
  attention(b, o, static_cast<compute_t<T>*>(nullptr), q, Rows<T>(cache.keys, cached, k.width),
            Rows<T>(cache.values, cached, v.width), call);
}

/// Causal self-attention of width C: H query heads of dimension D in groups that share K key/value heads (GQA, Ainslie
/// et al. 2023), rotary positions, query scale, logit softcap, sliding windows in some layers, dropout on the
/// probabilities.
template <int C, int H, int K, int D, Toggle Bias = Toggle::dynamic>
  requires KvHeadsDivideHeads<H, K> && RotaryNeedsEvenHeadDim<D>
struct GroupedQueryAttention {
  static constexpr const char* name = "";  ///< one of the library's own layers
  [[no_unique_address]] Extent<C> n_embd;
  [[no_unique_address]] Extent<H> n_head;
  [[no_unique_address]] Extent<K> n_kv_head;
  [[no_unique_address]] Extent<D> head_dim;
  /// Decodes sequences of unequal lengths in one pass (Pass::pasts), as BatchGenerator requires.
  static constexpr bool reads_pasts = true;
  bool run_time_bias = false;
  double query_scale = 1;
  double softcap = 0;
  double dropout = 0;
  LayerWindows windows{};

  constexpr explicit GroupedQueryAttention(const Config& c)
      : n_embd(c.n_embd),
        n_head(c.n_head),
        n_kv_head(c.n_kv_head),
        head_dim(c.head_dim),
        run_time_bias(c.attention_bias),
        softcap(c.attn_logit_softcapping.value_or(0.0)),
        dropout(c.attn_pdrop),
        windows(c.windows()) {
    if (!std::is_constant_evaluated()) query_scale = c.query_scale();
  }

  constexpr bool bias() const { return Bias == Toggle::dynamic ? run_time_bias : Bias == Toggle::on; }
  constexpr int q_width() const { return n_head * head_dim; }
  constexpr int kv_width() const { return n_kv_head * head_dim; }
  constexpr int qkv_width() const { return q_width() + 2 * kv_width(); }
  /// Channels of the keys, and of the values, of a token in a KvView.
  constexpr int cache_width() const { return kv_width(); }
  /// Forward operations of the two products without weights, mean over the layers.
  constexpr double extra_flops_per_token(int time) const { return 4.0 * q_width() * windows.mean_keys(time); }
  constexpr Linear<C, extent_product(H, D)> q_proj() const { return {n_embd, q_width(), bias()}; }
  constexpr Linear<C, extent_product(K, D)> kv_proj() const { return {n_embd, kv_width(), bias()}; }
  constexpr Linear<extent_product(H, D), C> o_proj() const { return {q_width(), n_embd, bias(), Init::scaled_normal}; }

  template <class E>
  struct Params {
    typename Linear<C, extent_product(H, D)>::template Params<E> q_proj;
    typename Linear<C, extent_product(K, D)>::template Params<E> k_proj, v_proj;
    typename Linear<extent_product(H, D), C>::template Params<E> o_proj;

    auto qkv_weights() const { return std::array{q_proj.weight, k_proj.weight, v_proj.weight}; }
    auto qkv_biases() const { return std::array{q_proj.bias, k_proj.bias, v_proj.bias}; }
  };

  template <class E>
  constexpr void describe(Params<E>& p, auto& visitor) const {
    visitor.nested("q_proj", q_proj(), p.q_proj);
    visitor.nested("k_proj", kv_proj(), p.k_proj);
    visitor.nested("v_proj", kv_proj(), p.v_proj);
    visitor.nested("o_proj", o_proj(), p.o_proj);
  }

  /// Activations kept from forward to backward.
  template <class T>
  struct Saved {
    Rows<T> qkv;                  // (BT,(H+2K)D): q, k, v; q and k rotated, q scaled
    Rows<T> o;                    // (BT,HD) heads side by side
    compute_t<T>* lse = nullptr;  // (B,H,T) log-sum-exp of the scores
  };
  template <class T>
  constexpr Saved<T> saved(Arena& arena, int batch, int time) const {
    const int n = batch * time;
    return {{arena.take<T>(std::int64_t(n) * qkv_width()), n, qkv_width()},
            {arena.take<T>(std::int64_t(n) * q_width()), n, q_width()},
            arena.take<compute_t<T>>(std::int64_t(n) * n_head)};
  }
  /// Memory of the backward pass only.
  template <class T>
  struct Scratch {
    Rows<T> d_qkv, d_o;  // (BT,(H+2K)D), (BT,HD)
  };
  template <class T>
  constexpr Scratch<T> scratch(Arena& arena, int batch, int time) const {
    const int n = batch * time;
    return {{arena.take<T>(std::int64_t(n) * qkv_width()), n, qkv_width()},
            {arena.take<T>(std::int64_t(n) * q_width()), n, q_width()}};
  }

  /// Computes y (BT,C) from u (BT,C). With a cache, appends the keys and values of the pass to it; queries then attend
  /// to all cached tokens.
  template <class B, class T, class E>
  void forward(B& b, Rows<T> y, Rows<const T> u, const Params<E>& p, const Saved<T>& s, const Pass<real_t<T>>& pass,
               int layer, KvView<T> cache = {}) const {
    using R = real_t<T>;
    const auto [q, k, v] = split(s.qkv);
    joint_forward(b, s.qkv, u, p.qkv_weights(), p.qkv_biases());
    rotate_by_position(b, q, pass, R(query_scale));
    rotate_by_position(b, k, pass, R(1));
    attention_with_cache(b, s.o, s.lse, q, k, v, cache, pass, call(pass, layer));
    o_proj().forward(b, y, Rows<const T>(s.o), p.o_proj);
  }

  /// Sets du (BT,C) to the gradient of u, and adds the gradients of the weights to `g`.
  template <class B, class T, class E, class G>
  void backward(B& b, Rows<T> du, Rows<const T> dy, Rows<const T> u, const Params<E>& p, const Params<G>& g,
                const Saved<T>& s, const Scratch<T>& scratch, const Pass<real_t<T>>& pass, int layer) const {
    using R = real_t<T>;
    const auto [q, k, v] = split(s.qkv);
    const auto [dq, dk, dv] = split(scratch.d_qkv);
    o_proj().backward(b, scratch.d_o, dy, Rows<const T>(s.o), p.o_proj, g.o_proj);
    attention_backward(b, dq, dk, dv, scratch.d_o, s.o, s.lse, q, k, v, call(pass, layer));
    rotary_backward(b, dq, pass.rotary, pass.time, 0, R(query_scale));
    rotary_backward(b, dk, pass.rotary, pass.time, 0, R(1));
    joint_backward(b, du, Rows<const T>(scratch.d_qkv), u, p.qkv_weights(), g.qkv_weights(), g.qkv_biases());
  }

 private:
  template <class T>
  std::array<Rows<T>, 3> split(Rows<T> qkv) const {
    return {qkv.columns(0, q_width()), qkv.columns(q_width(), kv_width()),
            qkv.columns(q_width() + kv_width(), kv_width())};
  }
  template <class R>
  AttentionCall call(const Pass<R>& pass, int layer) const {
    AttentionCall call = attention_call(pass, n_head, n_kv_head, head_dim);
    call.softcap = softcap;
    call.window = windows[layer];
    call.dropout = pass.dropout(RandomUse::attention_dropout, dropout, layer);
    return call;
  }
};

}  // namespace moderngpt2
