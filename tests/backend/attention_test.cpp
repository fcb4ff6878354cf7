#include <atomic>

#include <doctest/doctest.h>

#include "backend/cases/attention.hpp"
#include "backend/check_case.hpp"

using namespace moderngpt2;

TEST_CASE("attention, forward") { test::check_cases(cases::attention_cases()); }
TEST_CASE("attention, backward") { test::check_cases(cases::attention_backward_cases()); }

TEST_CASE("queries that see no key give zeros and take no gradient") {
  const cases::AttentionOptions o{.batch = 3, .time = 9, .n_head = 2, .n_kv_head = 1, .head_dim = 4, .key_mask = true};
  for (int threads : {1, 2}) {
    cpu::Backend b(threads);
    const cases::Case forward = cases::attention_case(o), backward = cases::attention_backward_case(o);
    const cases::Tensors<float> t(forward.tensors, 1), g(backward.tensors, 1);
    forward.cpu(b, t);
    backward.cpu(b, g);
    const int q = 8, all = 16;
    auto zero = [&](const float* from, int n) { return std::all_of(from, from + n, [](float x) { return x == 0; }); };
    CHECK(zero(t[0] + 18 * q, 9 * q));       // sequence 2 has no key
    CHECK(zero(t[0] + 9 * q, 3 * q));        // sequence 1 starts with 3 of padding
    CHECK_FALSE(zero(t[0] + 12 * q, q));
    CHECK(zero(g[0] + 18 * all, 9 * all));
    CHECK(zero(g[0] + 9 * all, 3 * all));
    for (int r = 6; r < 9; ++r) CHECK(zero(g[0] + r * all + q, 8));  // padded keys of sequence 0
  }
}

TEST_CASE("what lies in invisible keys does not matter") {
  const cases::AttentionOptions o{.batch = 1, .time = 5, .past = 3, .extra_key_rows = 4, .n_head = 1, .n_kv_head = 1, .head_dim = 4};
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

TEST_CASE("one thread means one thread") {
  // The products of the tiles must not start threads of their own. Bits alone would not show it.
  const cases::AttentionOptions o{.batch = 1, .time = 64, .n_head = 1, .n_kv_head = 1, .head_dim = 64};
  const int before = available_threads();
  const cases::Case c = cases::attention_case(o);
  const cases::Tensors<float> t(c.tensors, 1);
  cpu::Backend b(1);
  c.cpu(b, t);
  CHECK(available_threads() == before);
}
