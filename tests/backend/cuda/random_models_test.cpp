#define MODERNGPT2_CASES_ON_CUDA 1

#include <algorithm>
#include <cstdint>
#include <array>
#include <initializer_list>
#include <random>
#include <vector>

#include <doctest/doctest.h>

#include "backend/cuda/check_cuda_case.hpp"
#include "backend/cuda/host_copies.hpp"
#include "moderngpt2/backend/cuda.hpp"
#include "moderngpt2/generation/generate.hpp"
#include "moderngpt2/model/heads.hpp"
#include "moderngpt2/testing/numeric_checks.hpp"

using namespace moderngpt2;

namespace {

/// Random config and pass.
struct RandomRun {
  Config config;
  int batch, time;
  Mode mode;
  std::vector<int> ids, first_key;
  std::vector<std::int8_t> key_mask;
  bool has_mask, has_documents;

  explicit RandomRun(unsigned seed) {
    std::mt19937 random(seed);
    const auto one_of = [&](std::initializer_list<int> values) { return *(values.begin() + random() % values.size()); };
    const auto coin = [&] { return random() % 2 == 0; };
    Config& c = config;
    c.n_layer = one_of({1, 2}), c.n_embd = one_of({4, 7, 12, 24, 33, 64}), c.n_inner = one_of({5, 8, 16, 37, 64});
    c.vocab_size = one_of({11, 50, 97, 256, 1001});
    c.head_dim = one_of({2, 6, 8, 10, 16, 20, 32, 34, 48, 64, 72, 80, 96, 100, 128, 130, 256});
    c.n_kv_head = c.head_dim > 64 ? 1 : one_of({1, 2, 3});
    c.n_head = c.n_kv_head * one_of({1, 2, 3, 4, 7});
    c.activation = Activation(one_of({int(Activation::gelu_tanh), int(Activation::gelu), int(Activation::quick_gelu),
                                      int(Activation::silu), int(Activation::relu)}));
    c.attention_bias = coin(), c.tied_head = coin();
    c.rope_theta = one_of({100, 10000, 1000000}), c.rms_norm_eps = 1e-5;
    if (coin()) c.sliding_window = one_of({1, 3, 16, 65});
    if (coin()) c.layer_types = LayerTypes(std::array{AttentionType::full, AttentionType::sliding});
    if (coin()) c.rope_scaling_factor = 2.5;
    if (coin()) c.query_pre_attn_scalar = 0.3;
    if (coin()) c.attn_logit_softcapping = one_of({1, 5, 50});
    if (coin()) c.final_logit_softcapping = one_of({2, 30});
    for (double* rate : {&c.attn_pdrop, &c.resid_pdrop, &c.embd_pdrop}) *rate = coin() ? 0.2 : 0;
    batch = one_of({1, 2, 3}), time = one_of({2, 5, 17, 31, 64, 65, 100, 130}), c.n_positions = time + 10;
    mode = coin() ? Mode::train : Mode::train_recompute;
    has_mask = coin(), has_documents = coin();
    for (int i = 0, begin = 0; i < batch * time; ++i) {
      ids.push_back(int(random() % unsigned(c.vocab_size)));
      key_mask.push_back(random() % 5 > 0);
      if (i % time == 0) begin = 0;
      if (random() % 20 == 0) begin = i % time;
      first_key.push_back(begin);
    }
  }
};

struct RunResult {
  double loss;
  std::vector<float> gradients;
  std::vector<int> tokens;
};

template <class Backend>
RunResult result_of(const RandomRun& run) {
  using M = CausalLM<any_shape, Backend>;
  M m(run.config);
  test::edit_on_host(m.backend(), m.weights(), [](const auto& weights) {
    fill_random(weights.matrices.data(), weights.matrices.size(), 5, 0.3);
    fill_random(weights.vectors.data(), weights.vectors.size(), 6, 0.3);
  });
  auto work = m.workspace(run.batch, run.time, run.mode);
  auto gradients = m.make_gradients();
  Pass<float> pass{.batch = run.batch, .time = run.time};
  pass.training = true, pass.seed = 9, pass.step = 3;
  if (run.has_mask) pass.key_mask = run.key_mask.data();
  if (run.has_documents) pass.first_key = run.first_key.data();
  const std::int64_t labels = std::int64_t(run.batch) * (run.time - 1);
  RunResult result{
      double(m.loss_and_gradients(work, run.ids.data(), {run.ids.data(), labels}, gradients, pass)), {}, {}};
  const auto& here = test::on_host(m.backend(), gradients);
  result.gradients.assign(here.matrices.begin(), here.matrices.end());
  result.gradients.insert(result.gradients.end(), here.vectors.begin(), here.vectors.end());
  const std::vector<int> prompt(run.ids.begin(), run.ids.begin() + 2);
  result.tokens = generate(m, prompt, {.max_new_tokens = 4, .do_sample = false}).tokens;
  return result;
}

}  // namespace

TEST_CASE("models of random shapes on the GPU: loss, gradients and greedy tokens as on the CPU") {
  double worst = 0;
  for (unsigned seed = 0; seed < 24; ++seed) {
    CAPTURE(seed);
    test::use_schedule(seed);
    const RandomRun run(seed);
    const RunResult want = result_of<cpu::Backend>(run), got = result_of<cuda::Backend>(run);
    CHECK(got.loss == doctest::Approx(want.loss).epsilon(1e-6));
    const double error =
        compare_values(got.gradients.data(), want.gradients.data(), std::int64_t(want.gradients.size())).relative_l2;
    CHECK(error < 2e-4);
    CHECK(got.tokens == want.tokens);
    worst = std::max(worst, error);
  }
  MESSAGE("24 models, worst error of gradients ", worst);
}
