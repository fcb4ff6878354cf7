#include <cstdint>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include "moderngpt2/layers/attention.hpp"
#include "moderngpt2/testing/test_layer.hpp"

using namespace moderngpt2;

namespace {

Config small_heads(int n_embd, int n_head, int n_kv_head, int head_dim) {
  Config c;
  c.n_embd = n_embd, c.n_head = n_head, c.n_kv_head = n_kv_head, c.head_dim = head_dim;
  c.n_positions = 16;
  return c;
}

using AnyAttention = GroupedQueryAttention<dynamic, dynamic, dynamic, dynamic>;

void check(const std::string& name, const Config& c, LayerTest test = {}) {
  CAPTURE(name);
  test.config = c;
  test.in = test.out = c.n_embd;
  const auto report = test_layer(AnyAttention(c), test);
  CHECK_MESSAGE(report.good(), report.text());
  CHECK(report.difference_error > 0);
}

}  // namespace

TEST_CASE("attention: heads, biases and scales") {
  check("one head", small_heads(6, 1, 1, 4));
  check("MHA", small_heads(6, 3, 3, 2));
  check("GQA", small_heads(8, 4, 2, 4));
  check("MQA", small_heads(8, 4, 1, 2));
  Config c = small_heads(8, 4, 2, 4);
  c.attention_bias = true;
  check("bias", c);
  c.query_pre_attn_scalar = 0.9;
  check("scale", c);
  c.rope_scaling_factor = 4;
  c.rope_theta = 100;
  check("rotary scaling", c);
}

TEST_CASE("attention: softcap, masks, document bounds and dropout") {
  Config c = small_heads(8, 4, 2, 4);
  c.attn_logit_softcapping = 1.5;
  check("softcap", c);
  // Padding to the right and in the middle, such that every query sees a key.
  const std::vector<std::int8_t> mask{1, 1, 1, 0, 0, 1, 0, 0, 1, 1};
  const std::vector<int> first_key{0, 0, 2, 2, 2, 0, 0, 0, 3, 3};
  check("mask", c, {.key_mask = mask.data()});
  check("documents", c, {.first_key = first_key.data()});
  check("mask and documents", c, {.key_mask = mask.data(), .first_key = first_key.data()});
  for (int window : {1, 3}) {
    c.sliding_window = window;
    check("window", c);
    check("window and documents", c, {.first_key = first_key.data()});
  }
  c.sliding_window = 0;
  c.attn_pdrop = 0.5;
  check("dropout", c, {.training = true});
  check("everything", c, {.training = true, .key_mask = mask.data(), .first_key = first_key.data()});
}

TEST_CASE("attention: left padding") {
  // A query that sees only padding has fixed probabilities, but the gradient of a softmax over its scores: automatic
  // differentiation of the reference's additive masks gives that. Hence no comparison with differences here.
  Config c = small_heads(8, 4, 2, 4);
  c.attn_logit_softcapping = 1.5;
  c.attn_pdrop = 0.5;
  const std::vector<std::int8_t> mask{0, 0, 1, 1, 1, 0, 0, 0, 0, 0};
  for (bool training : {false, true}) {
    c.sliding_window = training ? 0 : 2;
    const auto report =
        test_layer(AnyAttention(c), {.config = c, .in = 8, .out = 8, .training = training, .key_mask = mask.data()});
    CHECK_MESSAGE(report.cpu_output_error < 1e-5, report.text());
    CHECK_MESSAGE(report.cpu_gradient_error < 1e-5, report.text());
  }
}

TEST_CASE("attention of static sizes equals the dynamic one bit for bit") {
  const Config c = small_heads(8, 4, 2, 4);
  LayerTest test{.config = c, .in = 8, .out = 8};
  const GroupedQueryAttention<8, 4, 2, 4, Toggle::off> fixed(c);
  const AnyAttention any(c);
  CHECK(sizeof(fixed) < sizeof(any));
  detail::LayerNumbers<float, std::remove_const_t<decltype(fixed)>> a(fixed, test);
  detail::LayerNumbers<float, AnyAttention> b(any, test);
  cpu::Backend backend(1);
  a.run(backend, CallLayer{}, true);
  b.run(backend, CallLayer{}, true);
  CHECK(detail::same_bits(a.y, b.y));
  CHECK(detail::same_bits(a.dx, b.dx));
  CHECK(detail::same_bits(a.d_matrices, b.d_matrices));
}

TEST_CASE("attention with a cache, token by token and in pieces, equals one whole pass") {
  Config c = small_heads(8, 4, 2, 4);
  c.attn_logit_softcapping = 5.0;
  const int batch = 2, time = 11, capacity = 13;
  const std::vector<std::int8_t> padded = [&] {
    std::vector<std::int8_t> m(std::size_t(batch * time), 1);
    m[std::size_t(time)] = m[std::size_t(time + 1)] = 0;  // row 1: two columns of left padding
    return m;
  }();
  for (int variant = 0; variant < 4; ++variant) {
    const bool mask = variant % 2 == 1;
    c.sliding_window = variant / 2 * 4;
    LayerTest test{
        .config = c, .batch = batch, .time = time, .in = 8, .out = 8, .key_mask = mask ? padded.data() : nullptr};
    const AnyAttention layer(c);
    detail::LayerNumbers<double, AnyAttention> whole(layer, test);
    reference::Backend b;
    whole.run(b, CallLayer{}, false);
    for (int piece : {1, 3, time}) {
      FlatBuffer<double> keys(batch * capacity * layer.kv_width()), values(keys.size());
      for (int past = 0; past < time; past += piece) {
        const int n = std::min(piece, time - past);
        FlatBuffer<double> x(batch * n * 8), y(batch * n * 8);
        std::vector<std::int8_t> part_mask;
        for (int r = 0; r < batch; ++r) {
          std::copy_n(whole.x.data() + (r * time + past) * 8, n * 8, x.data() + r * n * 8);
          for (int t = 0; t < past + n; ++t) part_mask.push_back(padded[std::size_t(r * time + t)]);
        }
        auto call = [&](auto& backend, const AnyAttention& l, const auto& run) {
          Arena arena;
          l.saved<double>(arena, batch, n);
          const AlignedBuffer memory(arena.peak());
          arena = Arena(memory);
          auto pass = run.pass;
          pass.time = n, pass.past = past;
          if (mask) pass.key_mask = part_mask.data();
          l.forward(backend, Rows<double>(y.data(), batch * n, 8), Rows<const double>(x.data(), batch * n, 8), run.p,
                    l.saved<double>(arena, batch, n), pass, 0, KvView<double>{keys.data(), values.data(), capacity});
        };
        whole.run(b, call, false);
        for (int r = 0; r < batch; ++r) {
          // `call` leaves the output of the whole pass alone. Queries that see only padding (row 1, columns 0 and 1)
          // depend on tokens that a piece does not know yet.
          const int skip = mask && r == 1 ? std::clamp(2 - past, 0, n) : 0;
          const auto got = compare_values(y.data() + (r * n + skip) * 8, whole.y.data() + (r * time + past + skip) * 8,
                                          (n - skip) * 8);
          CHECK(got.relative_max < 1e-13);
        }
      }
    }
  }
}
