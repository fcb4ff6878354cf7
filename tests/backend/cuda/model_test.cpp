#define MODERNGPT2_CASES_ON_CUDA 1

#include <optional>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include "backend/cuda/check_cuda_case.hpp"
#include "model/model_under_test.hpp"
#include "moderngpt2/backend/cuda.hpp"
#include "moderngpt2/generation/beam_search.hpp"
#include "moderngpt2/generation/generate.hpp"
#include "moderngpt2/io/model_files.hpp"
#include "support/temporary_folder.hpp"

using namespace moderngpt2;

static_assert(BackendFor<cuda::Backend, float> && BackendFor<cuda::Backend, bf16> && BackendFor<cuda::Backend, f16>);

namespace {

// For ThreadSanitizer each thread of a kernel is a thread, of which it gives no memory back: there is room for one
// model.
#ifdef MODERNGPT2_SIMT_TSAN
constexpr bool one_model = true;
#else
constexpr bool one_model = false;
#endif

struct Step {
  double loss;
  std::vector<double> gradients;
};

/// Loss and all gradients of a training step with dropout, padding and documents, from weights that are the same for
/// all backends.
template <class M, class Kind>
Step step_of(const Config& config, Mode mode) {
  M m(config);
  edit_on_host(m.backend(), m.weights(), [](const auto& weights) {
    fill_random(weights.matrices.data(), weights.matrices.size(), 5, 0.4);
    fill_random(weights.vectors.data(), weights.vectors.size(), 6, 0.4);
  });
  auto work = m.workspace(test::tiny_batch, test::tiny_time, mode);
  auto gradients = m.make_gradients();
  auto pass = test::tiny_pass<typename M::R>(true);
  std::vector<std::int8_t> mask(20, 1);
  mask[0] = mask[5] = mask[6] = 0;
  std::vector<int> first(20, 0);
  first[18] = first[19] = 2;
  pass.key_mask = mask.data(), pass.first_key = first.data();
  Step step{double(m.loss_and_gradients(work, test::tiny_ids.data(), Kind::template labels<M>(), gradients, pass)), {}};
  const auto& here = on_host(m.backend(), gradients);
  step.gradients.assign(here.matrices.begin(), here.matrices.end());
  step.gradients.insert(step.gradients.end(), here.vectors.begin(), here.vectors.end());
  return step;
}

template <class Kind, class Precision>
void check_kind(const Config& config, double tolerance) {
  using Cpu = typename Kind::template Model<cpu::Backend, Precision>;
  using Gpu = typename Kind::template Model<cuda::Backend, Precision>;
  const Step want = step_of<Cpu, Kind>(config, Mode::train);
  std::optional<Step> before;
  for (const std::uint64_t schedule : test::schedules)
    for (const Mode mode : {Mode::train, Mode::train_recompute}) {
      if (one_model && before) return;
      CAPTURE(schedule);
      test::use_schedule(schedule);
      const Step got = step_of<Gpu, Kind>(config, mode);
      CHECK(got.loss == doctest::Approx(want.loss).epsilon(tolerance));
      CHECK(
          compare_values(got.gradients.data(), want.gradients.data(), std::int64_t(want.gradients.size())).relative_l2 <
          tolerance);
      if (before) CHECK((got.loss == before->loss && got.gradients == before->gradients));
      before = got;
    }
}

template <class Kind>
void check_kind(const Config& config = test::tiny_config()) {
  check_kind<Kind, Fp32>(config, 1e-5);
  if (one_model) return;
  check_kind<Kind, Bf16>(config, 1e-1);  // both are rounded, in different orders
}

}  // namespace

TEST_CASE("models on the GPU: loss and gradients of the CPU, recomputed and in any order of its work the same bits") {
  SUBCASE("language model") { check_kind<test::Language>(); }
  if (one_model) return;
  SUBCASE("double heads") {
    Config c = test::tiny_config();
    for (const SummaryType type : {SummaryType::cls_index, SummaryType::mean}) {
      c.summary_type = type, c.summary_activation = Activation::tanh;
      check_kind<test::DoubleHead>(c);
    }
  }
  SUBCASE("sequence classifier") { check_kind<test::Sequence>(); }
  SUBCASE("token classifier") { check_kind<test::Token>(); }
  SUBCASE("question answering") { check_kind<test::Question>(); }
}

TEST_CASE("weights of a model on the GPU go to a file and back") {
  const test::TemporaryFolder folder;
  test::use_schedule(2);
  CausalLM<any_shape, cuda::Backend, Bf16> there(test::tiny_config()), again(test::tiny_config());
  CausalLM<any_shape, cpu::Backend, Bf16> here(test::tiny_config());
  there.initialize(7);
  here.initialize(7);
  save_weights(folder.path(), there);
  ConfigFile config;
  config.config = test::tiny_config();
  load_weights(again, CheckpointTensors(folder.path()), config);
  const auto& weights = on_host(again.backend(), again.weights());
  CHECK(test::same_bits(weights, here.weights()));
}

TEST_CASE("a model on the GPU generates what it does on the CPU") {
  if (one_model) return;
  Config config = test::tiny_config();
  config.n_positions = 24;
  const std::vector<int> prompt{1, 5, 9, 2, 7};
  const auto run = [&](auto& model) {
    edit_on_host(model.backend(), model.weights(), [](const auto& weights) {
      fill_random(weights.matrices.data(), weights.matrices.size(), 5, 0.4);
      fill_random(weights.vectors.data(), weights.vectors.size(), 6, 0.4);
    });
    GenerationOptions options{.max_new_tokens = 12, .do_sample = false};
    options.prefill_chunk = 3;
    std::vector<std::vector<int>> texts{generate(model, prompt, options).tokens};
    std::vector<GenerationRequest> requests(3, {prompt, options});
    for (std::size_t i = 0; i < requests.size(); ++i) {
      requests[i].options.do_sample = true, requests[i].options.sequence = i;
      requests[i].options.repetition_penalty = 1.2, requests[i].options.no_repeat_ngram_size = 3;
    }
    requests[2].prompt.pop_back();
    for (const auto& result : generate_batch(model, requests, 3)) texts.push_back(result.tokens);
    texts.push_back(generate(model, prompt, requests[1].options).tokens);
    options.num_beams = 3;
    for (const auto& beam : beam_search(model, prompt, options, 2)) texts.push_back(beam.tokens);
    return texts;
  };
  CausalLM<any_shape, cpu::Backend, Fp32> here(config);
  const auto want = run(here);
  for (const std::uint64_t schedule : test::schedules) {
    test::use_schedule(schedule);
    CausalLM<any_shape, cuda::Backend, Fp32> there(config);
    CHECK(run(there) == want);
  }
}
