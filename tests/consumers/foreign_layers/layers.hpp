#pragma once

#include <array>
#include <cmath>
#include <cstdint>

#include "moderngpt2/config/config.hpp"
#include "moderngpt2/layers/attention.hpp"
#include "moderngpt2/layers/concepts.hpp"
#include "moderngpt2/layers/linear.hpp"

// Layers as users of the library write them in projects of their own.
namespace foreign {

using namespace moderngpt2;

/// Attention over the last `window` tokens in every second layer, over all tokens in the others, with RMSNorm of each
/// head of q and k before RoPE (QK-norm). Calls only operations that every backend has.
struct SlidingWindowAttention {
  static constexpr const char* name = "sliding_window";
  static constexpr bool reads_pasts = true;
  static constexpr std::array fields{LayerField{"window", 8}, LayerField{"qk_norm_eps", 1e-5}};

  int n_embd, heads, groups, head_dim, window;
  double eps;

  constexpr explicit SlidingWindowAttention(const Config& c)
      : n_embd(c.n_embd),
        heads(c.n_head),
        groups(c.n_kv_head),
        head_dim(c.head_dim),
        window(int(c.blocks.attention.get<SlidingWindowAttention>("window"))),
        eps(c.blocks.attention.get<SlidingWindowAttention>("qk_norm_eps")) {
    if (window < 1) throw Error("config: blocks.attention.window is {}, it must be at least 1", window);
  }

  constexpr int q_width() const { return heads * head_dim; }
  constexpr int kv_width() const { return groups * head_dim; }
  constexpr int cache_width() const { return kv_width(); }
  constexpr double extra_flops_per_token(int time) const {
    const double all = (time + 1) / 2.0, near = window < time ? window : all;
    return 2.0 * q_width() * (all + near);  // the mean of both kinds of layers, two products
  }
  constexpr OperationSizes operation_sizes() const { return {.norm_rows = heads}; }

  constexpr Linear<dynamic, dynamic> q_proj() const { return {n_embd, q_width()}; }
  constexpr Linear<dynamic, dynamic> kv_proj() const { return {n_embd, kv_width()}; }
  constexpr Linear<dynamic, dynamic> o_proj() const { return {q_width(), n_embd, false, Init::scaled_normal}; }

  template <class E>
  struct Params {
    typename Linear<dynamic, dynamic>::template Params<E> q_proj, k_proj, v_proj, o_proj;
    Vector<typename E::VectorType> q_norm, k_norm;  // (D)
  };
  template <class E>
  constexpr void describe(Params<E>& p, auto& visitor) const {
    visitor.nested("q_proj", q_proj(), p.q_proj);
    visitor.nested("k_proj", kv_proj(), p.k_proj);
    visitor.nested("v_proj", kv_proj(), p.v_proj);
    visitor.nested("o_proj", o_proj(), p.o_proj);
    visitor.vector("q_norm.weight", p.q_norm, head_dim);
    visitor.vector("k_norm.weight", p.k_norm, head_dim);
  }

  template <class T>
  struct Saved {
    Rows<T> q, k, v;               // (BT,HD), (BT,KD): projections
    Rows<T> rotated_q, rotated_k;  // after norm and RoPE
    Rows<T> o;                     // (BT,HD)
    compute_t<T>* lse = nullptr;
  };
  template <class T>
  constexpr Saved<T> saved(Arena& arena, int batch, int time) const {
    auto rows = [&](int width) { return take_rows<T>(arena, batch * time, width); };
    return {rows(q_width()),
            rows(kv_width()),
            rows(kv_width()),
            rows(q_width()),
            rows(kv_width()),
            rows(q_width()),
            arena.take<compute_t<T>>(std::int64_t(batch) * time * heads)};
  }
  template <class T>
  struct Scratch {
    Rows<T> dq, dk, dv, d_o;
  };
  template <class T>
  constexpr Scratch<T> scratch(Arena& arena, int batch, int time) const {
    auto rows = [&](int width) { return take_rows<T>(arena, batch * time, width); };
    return {rows(q_width()), rows(kv_width()), rows(kv_width()), rows(q_width())};
  }

  template <class B, class T, class E>
  void forward(B& b, Rows<T> y, Rows<const T> u, const Params<E>& p, const Saved<T>& s, const Pass<real_t<T>>& pass,
               int layer, KvView<T> cache = {}) const {
    using R = real_t<T>;
    q_proj().forward(b, s.q, u, p.q_proj);
    kv_proj().forward(b, s.k, u, p.k_proj);
    kv_proj().forward(b, s.v, u, p.v_proj);
    rms_norm(b, by_head(s.rotated_q), by_head(s.q), p.q_norm, R(eps));
    rms_norm(b, by_head(s.rotated_k), by_head(s.k), p.k_norm, R(eps));
    rotate_by_position(b, s.rotated_q, pass, R(1 / std::sqrt(double(head_dim))));
    rotate_by_position(b, s.rotated_k, pass, R(1));
    attention_with_cache(b, s.o, s.lse, s.rotated_q, s.rotated_k, s.v, cache, pass, call(pass, layer));
    o_proj().forward(b, y, Rows<const T>(s.o), p.o_proj);
  }

  template <class B, class T, class E, class G>
  void backward(B& b, Rows<T> du, Rows<const T> dy, Rows<const T> u, const Params<E>& p, const Params<G>& g,
                const Saved<T>& s, const Scratch<T>& d, const Pass<real_t<T>>& pass, int layer) const {
    using R = real_t<T>;
    o_proj().backward(b, d.d_o, dy, Rows<const T>(s.o), p.o_proj, g.o_proj);
    attention_backward(b, d.dq, d.dk, d.dv, d.d_o, s.o, s.lse, s.rotated_q, s.rotated_k, s.v, call(pass, layer));
    rotary_backward(b, d.dq, pass.rotary, pass.time, 0, R(1 / std::sqrt(double(head_dim))));
    rotary_backward(b, d.dk, pass.rotary, pass.time, 0, R(1));
    // The rotated heads are not needed any more: their memory takes the gradients of q and k.
    rms_norm_backward(b, by_head(s.rotated_q), g.q_norm, by_head(d.dq), by_head(s.q), p.q_norm, R(eps), false);
    rms_norm_backward(b, by_head(s.rotated_k), g.k_norm, by_head(d.dk), by_head(s.k), p.k_norm, R(eps), false);
    q_proj().backward(b, du, Rows<const T>(s.rotated_q), u, p.q_proj, g.q_proj);
    kv_proj().backward(b, du, Rows<const T>(s.rotated_k), u, p.k_proj, g.k_proj, true);
    kv_proj().backward(b, du, Rows<const T>(d.dv), u, p.v_proj, g.v_proj, true);
  }

 private:
  /// Rows (BT,HD) as (BT*H,D).
  template <class T>
  Rows<T> by_head(Rows<T> x) const {
    return {x.data, x.count * (x.width / head_dim), head_dim};
  }
  template <class R>
  AttentionCall call(const Pass<R>& pass, int layer) const {
    AttentionCall call = attention_call(pass, heads, groups, head_dim);
    if (layer % 2 == 0) call.window = window;
    return call;
  }
};

/// Two MLPs without gate, relu(x W_up^T)^2 W_down^T, of which each token uses the one that a learned router prefers,
/// times its probability (top-1, Fedus et al. 2021). Both are halves of the same matrices. Its own loop runs on the
/// host.
struct TwoExperts {
  static constexpr const char* name = "two_experts";

  int n_embd, size;  // size: channels of one expert

  constexpr explicit TwoExperts(const Config& c) : n_embd(c.n_embd), size(c.n_inner / 2) {}

  constexpr double extra_flops_per_token(int) const { return -2.0 * 2 * n_embd * size; }  // the other expert's
  constexpr Linear<dynamic, 2> router() const { return {n_embd, 2, true, Init::zeros}; }
  constexpr Linear<dynamic, dynamic> up_proj() const { return {n_embd, 2 * size}; }
  constexpr Linear<dynamic, dynamic> down_proj() const { return {2 * size, n_embd, false, Init::scaled_normal}; }

  template <class E>
  struct Params {
    typename Linear<dynamic, 2>::template Params<E> router;
    typename Linear<dynamic, dynamic>::template Params<E> up_proj, down_proj;
  };
  template <class E>
  constexpr void describe(Params<E>& p, auto& visitor) const {
    visitor.nested("router", router(), p.router);
    visitor.nested("up_proj", up_proj(), p.up_proj);
    visitor.nested("down_proj", down_proj(), p.down_proj);
  }

  template <class T>
  struct Saved {
    Rows<T> scores;  // (BT,2) of the router
    Rows<T> a, h;    // (BT,2F) before the activation; after it, times the probability, 0 for the other expert
  };
  template <class T>
  constexpr Saved<T> saved(Arena& arena, int batch, int time) const {
    auto rows = [&](int width) { return take_rows<T>(arena, batch * time, width); };
    return {rows(2), rows(2 * size), rows(2 * size)};
  }
  template <class T>
  struct Scratch {
    Rows<T> d_scores, dh;  // (BT,2), (BT,2F)
  };
  template <class T>
  constexpr Scratch<T> scratch(Arena& arena, int batch, int time) const {
    return {take_rows<T>(arena, batch * time, 2), take_rows<T>(arena, batch * time, 2 * size)};
  }

  template <class B, class T, class E>
  void forward(B& b, Rows<T> y, Rows<const T> u, const Params<E>& p, const Saved<T>& s, const Pass<real_t<T>>&,
               int /*layer*/) const {
    router().forward(b, s.scores, u, p.router);
    up_proj().forward(b, s.a, u, p.up_proj);
    for (int r = 0; r < u.count; ++r) {
      const Choice<T> chosen(s.scores.row(r));
      for (int i = 0; i < 2 * size; ++i) {
        const auto a = positive(s.a.row(r)[i]);
        s.h.row(r)[i] = i / size == chosen.expert ? T(chosen.probability * a * a) : T(0);
      }
    }
    down_proj().forward(b, y, Rows<const T>(s.h), p.down_proj);
  }

  template <class B, class T, class E, class G>
  void backward(B& b, Rows<T> du, Rows<const T> dy, Rows<const T> u, const Params<E>& p, const Params<G>& g,
                const Saved<T>& s, const Scratch<T>& d, const Pass<real_t<T>>&, int /*layer*/) const {
    using Number = compute_t<T>;
    down_proj().backward(b, d.dh, dy, Rows<const T>(s.h), p.down_proj, g.down_proj);
    for (int r = 0; r < u.count; ++r) {
      const Choice<T> chosen(s.scores.row(r));
      Number d_probability(0);
      for (int i = 0; i < 2 * size; ++i) {
        T& dh = d.dh.row(r)[i];
        const Number a = positive(s.a.row(r)[i]), from_above = i / size == chosen.expert ? Number(dh) : Number(0);
        d_probability += from_above * a * a;
        dh = T(from_above * chosen.probability * Number(2) * a);  // now of a
      }
      const Number d_own = d_probability * chosen.probability * (Number(1) - chosen.probability);
      d.d_scores.row(r)[chosen.expert] = T(d_own);
      d.d_scores.row(r)[1 - chosen.expert] = T(-d_own);
    }
    up_proj().backward(b, du, Rows<const T>(d.dh), u, p.up_proj, g.up_proj);
    router().backward(b, du, Rows<const T>(d.d_scores), u, p.router, g.router, true);
  }

 private:
  /// Expert of a token and its probability.
  template <class T>
  struct Choice {
    int expert;
    compute_t<T> probability;

    explicit Choice(const T* scores) {
      using Number = compute_t<T>;
      const Number difference = Number(scores[1]) - Number(scores[0]);
      expert = real_part(difference) > 0;
      probability = Number(1) / (Number(1) + std::exp(expert == 1 ? -difference : difference));
    }
  };
  template <class T>
  static compute_t<T> positive(T x) {
    const compute_t<T> number(x);
    return real_part(number) > 0 ? number : compute_t<T>(0);
  }
};

/// RMSNorm without gain: x / rms(x). It has no parameters.
struct NormWithoutGain {
  static constexpr const char* name = "norm_without_gain";

  double eps;

  constexpr explicit NormWithoutGain(const Config& c) : eps(c.rms_norm_eps) {}

  template <class E>
  struct Params {};
  template <class E>
  constexpr void describe(Params<E>&, auto&) const {}

  template <class B, class T, class E>
  void forward(B& b, Rows<T> u, Rows<const T> x, const Params<E>&) const {
    rms_norm(b, u, x, Vector<const compute_t<T>>{}, real_t<T>(eps));
  }
  template <class B, class T, class E, class G>
  void backward(B& b, Rows<T> dx, Rows<const T> du, Rows<const T> x, const Params<E>&, const Params<G>&,
                bool accumulate) const {
    rms_norm_backward(b, dx, Vector<compute_t<T>>{}, du, x, Vector<const compute_t<T>>{}, real_t<T>(eps), accumulate);
  }
};

/// MLP without matrices: scales and shifts each channel. Its own loops run on the host.
struct ChannelScaling {
  static constexpr const char* name = "channel_scaling";
  int width;

  constexpr explicit ChannelScaling(const Config& c) : width(c.n_embd) {}
  template <class E>
  struct Params {
    Vector<typename E::VectorType> ones, zeros, normal;  // (C)
  };
  template <class E>
  constexpr void describe(Params<E>& p, auto& visitor) const {
    visitor.vector("ones", p.ones, width, Init::ones);
    visitor.vector("zeros", p.zeros, width);
    visitor.vector("normal", p.normal, width, Init::normal);
  }
  template <class T>
  struct Saved {};
  template <class T>
  constexpr Saved<T> saved(Arena&, int, int) const {
    return {};
  }
  template <class T>
  struct Scratch {};
  template <class T>
  constexpr Scratch<T> scratch(Arena&, int, int) const {
    return {};
  }
  template <class B, class T, class E>
  void forward(B&, Rows<T> y, Rows<const T> u, const Params<E>& p, const Saved<T>&, const Pass<real_t<T>>&, int) const {
    for (int r = 0; r < u.count; ++r)
      for (int i = 0; i < width; ++i)
        y.row(r)[i] = T(compute_t<T>(u.row(r)[i]) * (p.ones.data[i] + p.normal.data[i]) + p.zeros.data[i]);
  }
  template <class B, class T, class E, class G>
  void backward(B&, Rows<T> du, Rows<const T> dy, Rows<const T> u, const Params<E>& p, const Params<G>& g,
                const Saved<T>&, const Scratch<T>&, const Pass<real_t<T>>&, int) const {
    for (int r = 0; r < u.count; ++r)
      for (int i = 0; i < width; ++i) {
        const compute_t<T> d(dy.row(r)[i]), product = d * compute_t<T>(u.row(r)[i]);
        g.ones.data[i] += product, g.normal.data[i] += product, g.zeros.data[i] += d;
        du.row(r)[i] = T(d * (p.ones.data[i] + p.normal.data[i]));
      }
  }
};

}  // namespace foreign
