/// A custom layer and its gradient check: y = down(relu(up(x))^2), an MLP without a gate (So et al. 2021). Works on any
/// backend, because it calls the library's operations, and on any scalar type, because its own loop does.

#include <cstdio>

#include "moderngpt2/layers/linear.hpp"
#include "moderngpt2/testing/test_layer.hpp"

using namespace moderngpt2;

template <int C, int F>
struct SquaredReluMlp {
  [[no_unique_address]] Extent<C> n_embd;
  [[no_unique_address]] Extent<F> n_inner;

  // 1. Parameters: named once. `describe` serves counting, binding, saving and initialization.
  template <class E>
  struct Params {
    typename Linear<C, F>::template Params<E> up_proj;
    typename Linear<F, C>::template Params<E> down_proj;
  };
  template <class E>
  constexpr void describe(Params<E>& p, auto& visitor) const {
    visitor.nested("up_proj", up_proj(), p.up_proj);
    visitor.nested("down_proj", down_proj(), p.down_proj);
  }
  constexpr Linear<C, F> up_proj() const { return {n_embd, n_inner, true}; }
  constexpr Linear<F, C> down_proj() const { return {n_inner, n_embd, false, Init::scaled_normal}; }

  // 2. Memory: activations saved from forward to backward, and scratch of the backward pass.
  template <class T>
  struct Saved {
    Rows<T> up, h;  // (BT,F) before and after the activation
  };
  template <class T>
  constexpr Saved<T> saved(Arena& arena, int batch, int time) const {
    const int n = batch * time;
    auto rows = [&] { return Rows<T>(arena.take<T>(std::int64_t(n) * n_inner), n, n_inner); };
    return {rows(), rows()};
  }
  template <class T>
  struct Scratch {
    Rows<T> dh;  // (BT,F)
  };
  template <class T>
  constexpr Scratch<T> scratch(Arena& arena, int batch, int time) const {
    return {{arena.take<T>(std::int64_t(batch) * time * n_inner), batch * time, n_inner}};
  }

  // 3. Forward: (BT,C) -> (BT,C).
  template <class B, class T, class E>
  void forward(B& b, Rows<T> y, Rows<const T> x, const Params<E>& p, const Saved<T>& s, const Pass<real_t<T>>&,
               int /*layer*/) const {
    up_proj().forward(b, s.up, x, p.up_proj);
    for (std::int64_t i = 0; i < s.up.size(); ++i)
      s.h.data[i] = real_part(s.up.data[i]) > 0 ? s.up.data[i] * s.up.data[i] : T(0);
    down_proj().forward(b, y, Rows<const T>(s.h), p.down_proj);
  }

  // 4. Backward: dx from dy; weight gradients are accumulated into g.
  template <class B, class T, class E, class G>
  void backward(B& b, Rows<T> dx, Rows<const T> dy, Rows<const T> x, const Params<E>& p, const Params<G>& g,
                const Saved<T>& s, const Scratch<T>& scratch, const Pass<real_t<T>>&, int /*layer*/) const {
    down_proj().backward(b, scratch.dh, dy, Rows<const T>(s.h), p.down_proj, g.down_proj);
    for (std::int64_t i = 0; i < s.up.size(); ++i)
      scratch.dh.data[i] *= real_part(s.up.data[i]) > 0 ? real_t<T>(2) * s.up.data[i] : T(0);
    up_proj().backward(b, dx, Rows<const T>(scratch.dh), x, p.up_proj, g.up_proj);
  }
};

int main() {
  const SquaredReluMlp<12, 20> layer{12, 20};
  // Compares gradients with central differences and the complex step, in double on the reference backend, then fp32 on
  // the CPU with these.
  const LayerReport report = test_layer(layer, {.in = 12, .out = 12});
  std::printf("SquaredReluMlp<12, 20>: %s\n", report.text().c_str());
  return report.good() ? 0 : 1;
}
