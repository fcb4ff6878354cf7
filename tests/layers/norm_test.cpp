#include <cmath>

#include <doctest/doctest.h>

#include "moderngpt2/layers/attention.hpp"
#include "moderngpt2/layers/gated_mlp.hpp"
#include "moderngpt2/layers/half_block.hpp"
#include "moderngpt2/testing/test_layer.hpp"

using namespace moderngpt2;

namespace {

/// One norm, as before the first half block.
struct OneNorm : RmsNorm<dynamic> {
  using RmsNorm<dynamic>::RmsNorm;

  template <class B, class T, class P>
  void backward(B& b, Rows<T> dx, Rows<const T> dy, Rows<const T> x, const P& p, const P& g) const {
    RmsNorm<dynamic>::backward(b, dx, dy, x, p, g, false);
  }
};

/// A whole half block around a mixer, then the next norm: (BT,C) -> (BT,2C), the stream and its norm side by side.
template <class Mixer>
struct Around {
  HalfBlock<RmsNorm<dynamic>, Mixer> half;
  double dropout_rate;

  template <class E>
  struct Params {
    typename HalfBlock<RmsNorm<dynamic>, Mixer>::template Params<E> half;
    typename RmsNorm<dynamic>::template Params<E> next;
  };
  template <class E>
  constexpr void describe(Params<E>& p, auto& visitor) const {
    visitor.nested("half", half, p.half);
    visitor.nested("next", half.norm, p.next);
  }
};

struct CallHalfBlock {
  template <class B, class Layer, class T, class P>
  void operator()(B& b, const Layer& layer, const LayerRun<T, P>& run) const {
    const int n = run.x.count, width = run.x.width;
    const auto& mixer = layer.half.mixer;
    const auto& norm = layer.half.norm;
    const Dropout drop = run.pass.dropout(RandomUse::residual_dropout, layer.dropout_rate, 3);
    Arena arena;
    auto place = [&] {
      auto rows = [&] { return Rows<T>(arena.take<T>(std::int64_t(n) * width), n, width); };
      struct All {
        Rows<T> u, y, x_out, next, du, dy, dx, dnext;
        decltype(mixer.template saved<T>(arena, 1, 1)) saved;
        decltype(mixer.template scratch<T>(arena, 1, 1)) scratch;
      };
      return All{rows(),
                 rows(),
                 rows(),
                 rows(),
                 rows(),
                 rows(),
                 rows(),
                 rows(),
                 mixer.template saved<T>(arena, run.pass.batch, run.pass.time),
                 mixer.template scratch<T>(arena, run.pass.batch, run.pass.time)};
    };
    place();
    const AlignedBuffer memory(arena.peak());
    arena = Arena(memory);
    const auto v = place();
    norm.forward(b, v.u, run.x, run.p.half.pre_norm);
    mixer.forward(b, v.y, Rows<const T>(v.u), run.p.half.mixer, v.saved, run.pass, 0);
    norm.add_forward(b, v.x_out, v.next, run.x, v.y, run.p.half.post_norm, run.p.next, run.pass.time, drop);
    for (int r = 0; r < n; ++r)
      for (int i = 0; i < width; ++i) run.y.row(r)[i] = v.x_out.row(r)[i], run.y.row(r)[width + i] = v.next.row(r)[i];
    if (!run.backward()) return;
    for (int r = 0; r < n; ++r)
      for (int i = 0; i < width; ++i) v.dx.row(r)[i] = run.dy.row(r)[i], v.dnext.row(r)[i] = run.dy.row(r)[width + i];
    norm.add_backward(b, v.dx, v.dy, run.g.half.post_norm, run.g.next, Rows<const T>(v.dnext), Rows<const T>(v.x_out),
                      Rows<const T>(v.y), run.p.half.post_norm, run.p.next, run.pass.time, drop);
    mixer.backward(b, v.du, Rows<const T>(v.dy), Rows<const T>(v.u), run.p.half.mixer, run.g.half.mixer, v.saved,
                   v.scratch, run.pass, 0);
    norm.backward(b, v.dx, Rows<const T>(v.du), run.x, run.p.half.pre_norm, run.g.half.pre_norm, true);
    for (int r = 0; r < n; ++r)
      for (int i = 0; i < width; ++i) run.dx.row(r)[i] = v.dx.row(r)[i];
  }
};

Config dropping() {
  Config c;
  c.n_embd = 6, c.n_head = 2, c.n_kv_head = 1, c.head_dim = 4, c.n_inner = 5, c.n_positions = 8;
  c.attn_pdrop = 0.3;
  return c;
}

}  // namespace

TEST_CASE("norm") {
  for (int width : {1, 2, 7, 16, 33}) {
    CAPTURE(width);
    Config c;
    c.n_embd = width;
    const auto report = test_layer(OneNorm(c), {.time = 20, .in = width, .out = width});
    // A norm of one channel is almost a sign: its gradient is eps / x^3 and mostly rounding in fp32.
    CHECK_MESSAGE(report.good(1e-6, 1e-10, 1e-5, width == 1 ? 1e9 : 1e-5), report.text());
  }
}

TEST_CASE("norm of a row of zeros is finite with eps above 0") {
  cpu::Backend b(1);
  float x[5] = {}, u[5], w[5] = {}, du[5] = {1, 2, 3, 4, 5}, dx[5], dw[5] = {};
  rms_norm(b, Rows<float>(u, 1, 5), Rows<float>(x, 1, 5), Vector<float>{w, 5}, 1e-6f);
  rms_norm_backward(b, Rows<float>(dx, 1, 5), Vector<float>{dw, 5}, Rows<float>(du, 1, 5), Rows<float>(x, 1, 5),
                    Vector<float>{w, 5}, 1e-6f, false);
  for (int i = 0; i < 5; ++i) {
    CHECK(u[i] == 0);
    CHECK(dx[i] == doctest::Approx(1000.0 * du[i]));
  }
}

TEST_CASE("half blocks with the norms at their borders, with and without dropout") {
  const Config c = dropping();
  using AnyAttention = GroupedQueryAttention<dynamic, dynamic, dynamic, dynamic>;
  for (double rate : {0.0, 0.5}) {
    const LayerTest test{.config = c, .time = 4, .in = 6, .out = 12, .training = rate > 0};
    const auto attention = test_layer(Around<AnyAttention>{{c, attention_names}, rate}, test, CallHalfBlock{});
    CHECK_MESSAGE(attention.good(), attention.text());
    const auto mlp = test_layer(Around<GatedMlp<dynamic, dynamic>>{{c, mlp_names}, rate}, test, CallHalfBlock{});
    CHECK_MESSAGE(mlp.good(), mlp.text());
  }
}
