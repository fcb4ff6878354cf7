#include <cmath>
#include <vector>

#include <doctest/doctest.h>

#include "moderngpt2/layers/embedding.hpp"
#include "moderngpt2/testing/test_layer.hpp"

using namespace moderngpt2;

namespace {

const std::vector<int> token_ids{3, 0, 3, 6, 1, 1, 6, 2, 3, 0};

struct CallEmbedding {
  template <class B, class L, class T, class P>
  void operator()(B& b, const L& layer, const LayerRun<T, P>& run) const {
    layer.forward(b, run.y, token_ids.data(), run.p, run.pass);
    if (run.backward()) layer.backward(b, run.dy, token_ids.data(), run.g, run.pass);
  }
};

}  // namespace

TEST_CASE("embedding: repeated and unused ids, with and without dropout") {
  Config c;
  c.vocab_size = 7, c.embd_pdrop = 0.5;
  for (int n_embd : {6, 9})
    for (bool training : {false, true}) {
      c.n_embd = n_embd;
      const auto report =
          test_layer(Embedding<dynamic>(c), {.config = c, .out = n_embd, .training = training}, CallEmbedding{});
      CHECK_MESSAGE(report.good(), report.text());
      CHECK(report.same_bits);
    }
}

TEST_CASE("embedding multiplies by sqrt(C)") {
  Config c;
  c.vocab_size = 7, c.n_embd = 6;
  LayerTest test{.config = c, .out = 6};
  const Embedding<6> layer(c);
  detail::LayerNumbers<double, Embedding<6>> numbers(layer, test);
  reference::Backend b;
  numbers.run(b, CallEmbedding{}, false);
  CHECK(numbers.y[0] == doctest::Approx(numbers.matrices[3 * 6] * std::sqrt(6.0)).epsilon(1e-15));
}
