/// An attention layer of your own and its gradient check: each token sees the last `window` tokens, and one matrix
/// makes q, k and v. It works in models on any backend, because it calls operations that each backend has.

#include <array>
#include <cmath>
#include <cstdint>
#include <cstdio>

#include "moderngpt2/config/presets.hpp"
#include "moderngpt2/layers/attention.hpp"
#include "moderngpt2/layers/concepts.hpp"
#include "moderngpt2/layers/linear.hpp"
#include "moderngpt2/testing/test_layer.hpp"
#include "moderngpt2/testing/test_model.hpp"

using namespace moderngpt2;

struct WindowAttention {
  static constexpr const char* name = "window_attention";         // type in config.json
  static constexpr bool reads_pasts = true;                       // works in BatchGenerator
  static constexpr std::array fields{LayerField{"window", 128}};  // fields there, with their defaults

  int width, heads, window;

  constexpr explicit WindowAttention(const Config& c)
      : width(c.n_embd), heads(c.n_head), window(int(c.blocks.attention.get<WindowAttention>("window"))) {}

  // Parameters: named once.
  constexpr Linear<dynamic, dynamic> qkv() const { return {width, 3 * width}; }
  constexpr Linear<dynamic, dynamic> out() const { return {width, width, false, Init::scaled_normal}; }
  template <class E>
  struct Params {
    typename Linear<dynamic, dynamic>::template Params<E> qkv, out;
  };
  template <class E>
  constexpr void describe(Params<E>& p, auto& visitor) const {
    visitor.nested("qkv_proj", qkv(), p.qkv);
    visitor.nested("o_proj", out(), p.out);
  }

  // Memory: q, k, v (BT,3C), heads (BT,C) and log-sum-exp (B,H,T) for the backward pass; their gradients.
  template <class T>
  struct Saved {
    Rows<T> qkv, o;
    compute_t<T>* lse;
  };
  template <class T>
  constexpr Saved<T> saved(Arena& arena, int batch, int time) const {
    const int n = batch * time;
    return {take_rows<T>(arena, n, 3 * width), take_rows<T>(arena, n, width),
            arena.take<compute_t<T>>(std::int64_t(n) * heads)};
  }
  template <class T>
  struct Scratch {
    Rows<T> d_qkv, d_o;
  };
  template <class T>
  constexpr Scratch<T> scratch(Arena& arena, int batch, int time) const {
    return {take_rows<T>(arena, batch * time, 3 * width), take_rows<T>(arena, batch * time, width)};
  }
  constexpr int cache_width() const { return width; }  // channels of the keys of a token in the KV cache

  template <class B, class T, class E>
  void forward(B& b, Rows<T> y, Rows<const T> u, const Params<E>& p, const Saved<T>& s, const Pass<real_t<T>>& pass,
               int /*layer*/, KvView<T> cache = {}) const {
    const auto [q, k, v] = split(s.qkv);
    qkv().forward(b, s.qkv, u, p.qkv);
    rotate_by_position(b, q, pass, scale<T>());
    rotate_by_position(b, k, pass, real_t<T>(1));
    attention_with_cache(b, s.o, s.lse, q, k, v, cache, pass, call(pass));
    out().forward(b, y, Rows<const T>(s.o), p.out);
  }

  template <class B, class T, class E, class G>
  void backward(B& b, Rows<T> du, Rows<const T> dy, Rows<const T> u, const Params<E>& p, const Params<G>& g,
                const Saved<T>& s, const Scratch<T>& scratch, const Pass<real_t<T>>& pass, int /*layer*/) const {
    const auto [q, k, v] = split(s.qkv);
    const auto [dq, dk, dv] = split(scratch.d_qkv);
    out().backward(b, scratch.d_o, dy, Rows<const T>(s.o), p.out, g.out);
    attention_backward(b, dq, dk, dv, scratch.d_o, s.o, s.lse, q, k, v, call(pass));
    rotary_backward(b, dq, pass.rotary, pass.time, 0, scale<T>());
    rotary_backward(b, dk, pass.rotary, pass.time, 0, real_t<T>(1));
    qkv().backward(b, du, Rows<const T>(scratch.d_qkv), u, p.qkv, g.qkv);
  }

 private:
  template <class T>
  std::array<Rows<T>, 3> split(Rows<T> x) const {
    return {x.columns(0, width), x.columns(width, width), x.columns(2 * width, width)};
  }
  template <class T>
  real_t<T> scale() const {
    return real_t<T>(1 / std::sqrt(double(width / heads)));
  }
  template <class R>
  AttentionCall call(const Pass<R>& pass) const {
    AttentionCall call = attention_call(pass, heads, heads, width / heads);
    call.window = window;
    return call;
  }
};
static_assert(AttentionFor<WindowAttention, cpu::Backend, Bf16>);  // an error names the member that is missing

int main() {
  Config config = size_config(2, 12, 2, 19);  // layers, width, heads, vocabulary
  config.n_positions = 16;
  config.resid_pdrop = config.embd_pdrop = config.attn_pdrop = 0;
  config.blocks.attention.set("window", 3);
  const LayerReport layer = test_layer(WindowAttention(config), {.config = config, .time = 9, .in = 12, .out = 12});
  std::printf("WindowAttention: %s\n", layer.text().c_str());
  const ModelReport model = test_blocks<Blocks<WindowAttention>>(config);
  std::printf("a model with it: %s\n", model.text().c_str());
  return layer.good() && layer.same_bits && model.good() ? 0 : 1;
}
