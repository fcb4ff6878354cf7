#pragma once

#include <string>
#include <vector>

#include <doctest/doctest.h>

#include "moderngpt2/layers/embedding.hpp"
#include "moderngpt2/testing/test_layer.hpp"

namespace moderngpt2::test {

/// A head with the embedding it may share, as a layer (BT,C) -> (1,1): the loss.
template <class Head>
struct HeadUnderTest {
  Head head;
  Embedding<dynamic> wte;

  explicit HeadUnderTest(const Config& c) : head(c), wte(c) {}

  template <class E>
  struct Params {
    typename Embedding<dynamic>::template Params<E> wte;
    typename Head::template Params<E> head;
  };
  template <class E>
  constexpr void describe(Params<E>& p, auto& visitor) const {
    visitor.nested("wte", wte, p.wte);
    head.describe(p.head, visitor);
  }
};

/// Visitor that multiplies every parameter.
template <class T>
struct ScaleParameters {
  T factor;

  void scale(T* x, std::int64_t n) {
    for (std::int64_t i = 0; i < n; ++i) x[i] *= factor;
  }
  void matrix(const char*, auto& view, int, int, Init) { scale(view.data, view.size()); }
  void vector(const char*, auto& view, int) { scale(view.data, view.size); }
  void nested(const char*, const auto& l, auto& params) { l.describe(params, *this); }
};

/// Calls a head. `labels.template operator()<R>()` makes its labels for real type R.
template <class MakeLabels>
struct CallHead {
  MakeLabels labels;
  const int* ids = nullptr;

  template <class B, class Layer, class T, class P>
  void operator()(B& b, const Layer& layer, const LayerRun<T, P>& run) const {
    Arena arena;
    layer.head.template saved<T>(arena, run.pass.batch, run.pass.time);
    const AlignedBuffer memory(arena.peak());
    arena = Arena(memory);
    const auto saved = layer.head.template saved<T>(arena, run.pass.batch, run.pass.time);
    *run.y.data = T(layer.head.loss(b, run.x, run.dx, run.p.head, run.g.head, run.p.wte, run.g.wte, saved, ids,
                                    labels.template operator()<real_t<T>>(), run.pass));
    // The head gives the gradient of the loss; the test asks for that of dy times the loss.
    if (!run.backward()) return;
    ScaleParameters<T> scaler{*run.dy.data};
    scaler.scale(run.dx.data, run.dx.size());
    P g = run.g;
    layer.describe(g, scaler);
  }
};

template <class Head, class MakeLabels>
void check_head(const Config& c, LayerTest test, MakeLabels labels, const int* ids = nullptr) {
  test.config = c;
  test.in = c.n_embd;
  test.out = test.rows_out = 1;
  const auto report = test_layer(HeadUnderTest<Head>(c), test, CallHead<MakeLabels>{labels, ids});
  CHECK_MESSAGE(report.good(), report.text());
}

}  // namespace moderngpt2::test
