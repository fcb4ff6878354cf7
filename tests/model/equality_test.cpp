#include <string>

#include <doctest/doctest.h>

#include "model_under_test.hpp"
#include "moderngpt2/config/presets.hpp"

using namespace moderngpt2;
using namespace moderngpt2::test;

namespace {

using Fast = CausalLM<any_shape>;
using Oracle = CausalLM<any_shape, reference::Backend, Exact<double>>;

/// Gradients of the tiny batch as two micro-batches of two sequences.
template <class Model>
auto in_two_parts(Model& m, std::int64_t valid) {
  using R = typename Model::R;
  auto work = m.workspace(2, tiny_time, Mode::train);
  auto gradients = m.make_gradients();
  sum_t<typename Model::T> loss(0);
  for (int first : {0, 2})
    loss += m.loss_and_gradients(work, tiny_ids.data() + first * tiny_time, Language::labels<Model>(first, valid),
                                 gradients, tiny_pass<R>(true, 2, first));
  return std::pair(loss, std::move(gradients));
}

}  // namespace

TEST_CASE("a model of static shape equals the dynamic one bit for bit") {
  static constexpr Config c = [] {
    Config t = size_config(2, 16, 4, 13);
    t.n_kv_head = 2, t.attention_bias = true, t.n_positions = 8;
    return t;
  }();
  constexpr ModelShape shape = shape_of(c);
  static_assert(CausalLM<shape>::parameter_count(c) == CausalLM<any_shape>::parameter_count(c));
  CausalLM<shape> fixed(c);
  Fast any(c);
  fill_weights(fixed);
  fill_weights(any);
  const auto a = step<Language>(fixed, true);
  const auto b = step<Language>(any, true);
  CHECK(a.loss == b.loss);
  CHECK(a.hidden == b.hidden);
  CHECK(same_bits(a.gradients, b.gradients));
  Config other = c;
  other.n_layer = 3;
  CHECK_THROWS_WITH_AS(CausalLM<shape>{other}, "this model is built for n_layer 2, the config says 3", Error);
}

TEST_CASE("recomputation changes no bit") {
  for (int threads : {1, 2}) {
    Fast m(tiny_config(), cpu::Backend(threads));
    fill_weights(m);
    const auto kept = step<Language>(m, true), again = step<Language>(m, true, Mode::train_recompute);
    CHECK(kept.loss == again.loss);
    CHECK(same_bits(kept.gradients, again.gradients));
  }
}

TEST_CASE("inference gives the same hidden states as training") {
  Fast m(tiny_config());
  fill_weights(m);
  const auto trained = step<Language>(m, false);
  auto work = m.workspace(tiny_batch, tiny_time, Mode::infer);
  const auto hidden = m.forward(work, tiny_ids.data(), tiny_pass<float>(false));
  CHECK(std::memcmp(hidden.data, trained.hidden.data(), trained.hidden.size() * sizeof(float)) == 0);
  auto gradients = m.make_gradients();
  CHECK_THROWS_AS(
      m.loss_and_gradients(work, tiny_ids.data(), Language::labels<Fast>(), gradients, tiny_pass<float>(false)), Error);
}

TEST_CASE("a pass is deterministic, and another step has other dropout masks") {
  Fast m(tiny_config(), cpu::Backend(2));
  fill_weights(m);
  const auto a = step<Language>(m, true), b = step<Language>(m, true);
  CHECK(a.loss == b.loss);
  CHECK(same_bits(a.gradients, b.gradients));
  auto work = m.workspace(tiny_batch, tiny_time, Mode::infer);
  auto pass = tiny_pass<float>(true);
  ++pass.step;
  CHECK(m.loss(work, tiny_ids.data(), Language::labels<Fast>(), pass) != a.loss);
}

TEST_CASE("two micro-batches with dropout equal one batch") {
  const std::int64_t valid = LanguageModelHead<dynamic>::count_targets(tiny_labels.data(), tiny_batch, tiny_time);
  Oracle oracle(tiny_config());
  fill_weights(oracle);
  const auto whole = step<Language>(oracle, true);
  const auto [loss, gradients] = in_two_parts(oracle, valid);
  CHECK(loss == doctest::Approx(whole.loss).epsilon(1e-14));
  CHECK(compare_values(gradients.matrices.data(), whole.gradients.matrices.data(), gradients.matrices.size())
            .relative_l2 < 1e-14);
  CHECK(compare_values(gradients.vectors.data(), whole.gradients.vectors.data(), gradients.vectors.size()).relative_l2 <
        1e-14);
  // The second half alone gives the same hidden states, bit for bit: its masks are those of its global sequences.
  auto work = oracle.workspace(2, tiny_time, Mode::infer);
  const auto hidden = oracle.forward(work, tiny_ids.data() + 2 * tiny_time, tiny_pass<double>(true, 2, 2));
  CHECK(std::memcmp(hidden.data, whole.hidden.data() + 2 * tiny_time * 8,
                    std::size_t(hidden.size()) * sizeof(double)) == 0);
  const auto other = oracle.forward(work, tiny_ids.data() + 2 * tiny_time, tiny_pass<double>(true, 2, 0));
  CHECK(std::memcmp(other.data, whole.hidden.data() + 2 * tiny_time * 8, std::size_t(other.size()) * sizeof(double)) !=
        0);

  Fast fast(tiny_config(), cpu::Backend(2));
  fill_weights(fast);
  const auto parts = in_two_parts(fast, valid);
  CHECK(parts.first == doctest::Approx(whole.loss).epsilon(1e-5));
  CHECK(compare_values(parts.second.matrices.data(), whole.gradients.matrices.data(), gradients.matrices.size())
            .relative_l2 < 1e-5);
}

TEST_CASE("attention mask: padding changes nothing in what is not padding") {
  Oracle m(tiny_config());
  fill_weights(m);
  const std::vector<std::int8_t> mask{1, 1, 1, 0, 0};
  std::vector<int> ids{4, 5, 6, 0, 0}, others{4, 5, 6, 7, 8};
  auto work = m.workspace(1, 5, Mode::infer);
  auto pass = tiny_pass<double>(false, 1);
  pass.key_mask = mask.data();
  const auto a = m.forward(work, ids.data(), pass);
  const std::vector<double> first(a.data, a.data + 3 * 8);
  const auto b = m.forward(work, others.data(), pass);
  CHECK(std::equal(first.begin(), first.end(), b.data));
}

TEST_CASE("invalid input is an Error before memory is written") {
  Fast m(tiny_config());
  auto work = m.workspace(2, 5, Mode::infer);
  std::vector<int> ids(10, 1);
  ids[7] = 13;
  CHECK_THROWS_WITH_AS(m.forward(work, ids.data(), tiny_pass<float>(false, 2)),
                       "token id 13 at row 1, column 2 is outside the vocabulary of 13", Error);
  ids[7] = -1;
  CHECK_THROWS_AS(m.forward(work, ids.data(), tiny_pass<float>(false, 2)), Error);
  Pass<float> late = tiny_pass<float>(false, 1);
  late.past = 4;
  CHECK_THROWS_WITH_AS(m.forward(work, ids.data(), late),
                       "a sequence of 9 tokens is longer than the model's n_positions 8", Error);
  std::vector<int> first_keys{0, 0, 1, 3, 5};
  Pass<float> packed = tiny_pass<float>(false, 1);
  packed.first_key = first_keys.data();
  ids.assign(10, 1);
  CHECK_THROWS_WITH_AS(m.forward(work, ids.data(), packed),
                       "first_key is 5 at row 0, column 4, expected 0 to 4, the token's own position", Error);
  first_keys[4] = -1;
  CHECK_THROWS_AS(m.forward(work, ids.data(), packed), Error);
  Config c = tiny_config();
  c.head_dim = 3;
  CHECK_THROWS_AS(Fast{c}, Error);
}
