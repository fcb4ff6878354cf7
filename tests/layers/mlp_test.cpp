#include <doctest/doctest.h>

#include "backend/user_activations.hpp"
#include "io/expect_error.hpp"
#include "moderngpt2/backend/register_activation.hpp"
#include "moderngpt2/layers/gated_mlp.hpp"
#include "moderngpt2/testing/test_layer.hpp"

using namespace moderngpt2;

TEST_CASE("gated MLP: every activation, also registered ones") {
  register_activation<test::StarRelu>();
  register_activation<test::Snake>();
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

TEST_CASE("gated MLP of an activation functor") {
  Config c;
  c.n_embd = 8, c.n_inner = 16, c.activation = register_activation<test::Snake>();
  const auto report = test_layer(GatedMlp<8, 16, test::Snake{}>(c), {.config = c, .in = 8, .out = 8});
  CHECK_MESSAGE(report.good(), report.text());
  c.activation = register_activation<test::StarRelu>();
  const auto vectorized = test_layer(GatedMlp<dynamic, dynamic, test::StarRelu{}>(c), {.config = c, .in = 8, .out = 8});
  CHECK_MESSAGE(vectorized.good(), vectorized.text());
  CHECK_ERROR((GatedMlp<8, 16, test::Snake{}>(c)), "built for activation_function snake, the config says star_relu",
              "register_activation()");
}
