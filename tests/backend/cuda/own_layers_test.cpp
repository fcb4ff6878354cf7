// A model with layers of the user's own that call only listed operations, on the simulated GPU and on the CPU.
#define MODERNGPT2_CASES_ON_CUDA 1

#include <cstdint>
#include <vector>

#include <doctest/doctest.h>

#include "backend/cuda/check_cuda_case.hpp"
#include "backend/cuda/host_copies.hpp"
#include "consumers/foreign_layers/layers.hpp"
#include "model/model_under_test.hpp"
#include "moderngpt2/backend/cuda.hpp"
#include "moderngpt2/generation/generate.hpp"
#include "moderngpt2/testing/numeric_checks.hpp"

using namespace moderngpt2;

namespace {

using OwnLayers = Blocks<foreign::SlidingWindowAttention, Standard, foreign::NormWithoutGain>;

constexpr int batch = 2, tokens = 38;

struct Result {
  double loss;
  std::vector<float> gradients;
  std::vector<int> tokens;
};

template <class Backend, class Precision>
Result result_of(const Config& config, Mode mode) {
  using M = CausalLM<any_shape, Backend, Precision, OwnLayers>;
  M m(config);
  test::edit_on_host(m.backend(), m.weights(), [](const auto& weights) {
    fill_random(weights.matrices.data(), weights.matrices.size(), 5, 0.3);
    fill_random(weights.vectors.data(), weights.vectors.size(), 6, 0.3);
  });
  auto work = m.workspace(batch, tokens, mode);
  auto gradients = m.make_gradients();
  reserve<typename M::T>(m.backend(), m.config(), m.layers().pass_size(batch, tokens));
#ifdef MODERNGPT2_CUDA_SIMULATED
  const std::int64_t allocations = simt::device().allocations;
#endif
  std::vector<int> ids;
  for (int i = 0; i < batch * tokens; ++i)
    ids.push_back(int(mix64(std::uint64_t(i)) % std::uint64_t(config.vocab_size)));
  Pass<typename M::R> pass{.batch = batch, .time = tokens};
  pass.training = true, pass.seed = 9, pass.step = 3;
  Result result{
      double(m.loss_and_gradients(work, ids.data(), {ids.data(), batch * (tokens - 1)}, gradients, pass)), {}, {}};
#ifdef MODERNGPT2_CUDA_SIMULATED
  CHECK(simt::device().allocations == allocations);
#endif
  const auto& here = test::on_host(m.backend(), gradients);
  result.gradients.assign(here.matrices.begin(), here.matrices.end());
  result.gradients.insert(result.gradients.end(), here.vectors.begin(), here.vectors.end());
  const std::vector<int> prompt(ids.begin(), ids.begin() + 12);
  result.tokens = generate(m, prompt, {.max_new_tokens = 6, .do_sample = false}).tokens;
  return result;
}

}  // namespace

TEST_CASE("layers of the user's own on the GPU: loss, gradients, greedy tokens and planned memory") {
  Config config = test::tiny_config();
  config.n_positions = tokens, config.vocab_size = 40;
  config.blocks.attention.set("window", 5);
  for (const Mode mode : {Mode::train, Mode::train_recompute}) {
    test::use_schedule(3);
    const Result want = result_of<cpu::Backend, Fp32>(config, mode), got = result_of<cuda::Backend, Fp32>(config, mode);
    CHECK(got.loss == doctest::Approx(want.loss).epsilon(1e-6));
    const double error =
        compare_values(got.gradients.data(), want.gradients.data(), std::int64_t(want.gradients.size())).relative_l2;
    CHECK(error < 2e-4);
    CHECK(got.tokens == want.tokens);
  }
  const Result exact = result_of<cpu::Backend, Fp32>(config, Mode::train);
  const Result rounded = result_of<cuda::Backend, Fp16>(config, Mode::train);
  CHECK(rounded.loss == doctest::Approx(exact.loss).epsilon(1e-2));
}
