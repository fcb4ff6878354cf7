#include <doctest/doctest.h>

#include "moderngpt2/layers/gated_mlp.hpp"
#include "moderngpt2/testing/test_layer.hpp"

using namespace moderngpt2;

TEST_CASE("gated MLP: every activation") {
  Config c;
  c.n_embd = 6;
  for (int n_inner : {5, 32}) {  // gate and up are adjacent in memory only if 6 * n_inner is a multiple of 64
    c.n_inner = n_inner;
    for (const auto& word : words_of(Activation())) {
      c.activation = word.second;
      CAPTURE(word.first);
      const auto report = test_layer(GatedMlp<dynamic, dynamic>(c), {.config = c, .in = 6, .out = 6});
      CHECK_MESSAGE(report.good(), report.text());
    }
  }
}

TEST_CASE("gated MLP of static sizes and activation") {
  Config c;
  c.n_embd = 8, c.n_inner = 16, c.activation = Activation::mish;
  const auto report = test_layer(GatedMlp<8, 16, Activation::silu>(c), {.config = c, .in = 8, .out = 8});
  CHECK_MESSAGE(report.good(), report.text());
  CHECK(GatedMlp<8, 16, Activation::silu>(c).activation() == Activation::silu);
  CHECK(GatedMlp<8, 16>(c).activation() == Activation::mish);
}
