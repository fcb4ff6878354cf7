#include <cmath>
#include <cstring>
#include <limits>
#include <vector>

#include <doctest/doctest.h>

#include "backend/cases/attention.hpp"
#include "backend/check_case.hpp"

using namespace moderngpt2;

TEST_CASE("attention, forward") { test::check_cases(cases::attention_cases()); }
// In bf16, the output that the backward pass reads is rounded, and so are sums of queries that see only padding.
TEST_CASE("attention, backward") { test::check_cases(cases::attention_backward_cases(), 4e-2); }

TEST_CASE("a query that sees only padding attends uniformly to the padding before it and the tokens after it") {
  const cases::AttentionOptions o{.batch = 3, .time = 9, .n_head = 2, .n_kv_head = 1, .head_dim = 4, .key_mask = true};
  for (int threads : {1, 2}) {
    cpu::Backend b(threads);
    const cases::Case forward = cases::attention_case(o), backward = cases::attention_backward_case(o);
    const cases::Tensors<float> t(forward.tensors, 1), g(backward.tensors, 1);
    forward.cpu(b, t);
    backward.cpu(b, g);
    auto check_mean = [&](int seq, int query, const std::vector<int>& keys) {
      for (int i = 0; i < 8; ++i) {
        double mean = 0;
        for (int u : keys) mean += t[3][(seq * 9 + u) * 8 + 4 + i % 4] / double(keys.size());
        CHECK(t[0][(seq * 9 + query) * 8 + i] == doctest::Approx(mean).epsilon(1e-5));
      }
    };
    check_mean(1, 0, {0, 3, 4, 5, 6, 7, 8});  // sequence 1 starts with 3 of padding
    check_mean(1, 2, {0, 1, 2, 3, 4, 5, 6, 7, 8});
    check_mean(1, 3, {3});  // the first token sees itself
    check_mean(2, 0, {0});  // sequence 2 is padding only
    check_mean(2, 4, {0, 1, 2, 3, 4});
    for (int r = 6; r < 9; ++r)  // the padding at the end of sequence 0 is seen by nobody
      for (int i = 8; i < 16; ++i) CHECK(g[0][r * 16 + i] == 0);
    for (std::int64_t i = 0; i < g.size(0); ++i) REQUIRE(std::isfinite(g[0][i]));
  }
}

TEST_CASE("values of masked keys do not matter") {
  const cases::AttentionOptions o{
      .batch = 1, .time = 5, .past = 3, .extra_key_rows = 4, .n_head = 1, .n_kv_head = 1, .head_dim = 4};
  const cases::Case c = cases::attention_case(o);
  cpu::Backend b(1);
  const cases::Tensors<float> clean(c.tensors, 1), dirty(c.tensors, 1);
  c.cpu(b, clean);
  for (int i = 8 * 8; i < 12 * 8; ++i) dirty[3][i] = std::numeric_limits<float>::quiet_NaN();  // rows past the last key
  c.cpu(b, dirty);
  CHECK(std::memcmp(clean[0], dirty[0], 20 * sizeof(float)) == 0);
}

TEST_CASE("attention over scores of any size") {
  for (float size : {1e-20f, 30.0f, 1e4f}) {
    const cases::AttentionOptions o{.batch = 1, .time = 70, .n_head = 1, .n_kv_head = 1, .head_dim = 4};
    cases::Case c = cases::attention_case(o);
    c.tensors[2].deviation = size;
    c.tolerance = size > 1e3f ? 1e-2 : 1e-4;  // the scores themselves are rounded
    c.name += fmt::format(" size {}", size);
    test::check_cases({c});
  }
}
