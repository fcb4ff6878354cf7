#define MODERNGPT2_CASES_ON_CUDA 1

#include <cmath>
#include <cstdint>
#include <filesystem>
#include <limits>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include <doctest/doctest.h>

#include "backend/cuda/check_cuda_case.hpp"
#include "backend/cuda/host_copies.hpp"
#include "backend/user_activations.hpp"
#include "model/model_under_test.hpp"
#include "moderngpt2/backend/cuda.hpp"
#include "moderngpt2/backend/register_activation.hpp"
#include "moderngpt2/generation/batch_generator.hpp"
#include "moderngpt2/generation/beam_search.hpp"
#include "moderngpt2/generation/generate.hpp"
#include "moderngpt2/io/model_files.hpp"
#include "moderngpt2/run/plan.hpp"
#include "moderngpt2/training/trainer.hpp"
#include "support/temporary_folder.hpp"

using namespace moderngpt2;
namespace fs = std::filesystem;

static_assert(BackendFor<cuda::Backend, float> && BackendFor<cuda::Backend, bf16> && BackendFor<cuda::Backend, f16>);

namespace {

// ThreadSanitizer treats each thread of a kernel as a thread and never frees the
// memory of one: it is enough for one model.
#ifdef MODERNGPT2_SIMT_TSAN
constexpr bool one_model = true;
#else
constexpr bool one_model = false;
#endif

struct Step {
  double loss;
  std::vector<double> gradients;
};

/// Loss and all gradients of a training step with dropout, padding and
/// document bounds, from the same weights on all backends.
template <class M, class Kind>
Step step_of(const Config& config, Mode mode) {
  M m(config);
  test::edit_on_host(m.backend(), m.weights(), [](const auto& weights) {
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
  const auto& here = test::on_host(m.backend(), gradients);
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

#ifndef MODERNGPT2_SIMT_TSAN
TrainAndEval blocks_to_train_on() {
  std::vector<std::int32_t> ids;
  for (int i = 0; i < 11 * test::tiny_time; ++i) ids.push_back(1 + i * i % 12);
  ids[4] = ids[13] = ids[14] = 0;  // padding, of which no label counts
  return hold_out(std::make_shared<MemoryBlocks>(ids, test::tiny_time), 2);
}

struct TrainedModel {
  std::vector<double> losses, norms, loss_scales;
  int applied = 0;
  double evaluation = 0;
  std::vector<double> numbers;  ///< weights as training keeps them, then both moments
};

template <class M, class E>
void add_numbers(const M& model, const E* from, std::int64_t n, std::vector<double>& numbers) {
  std::vector<E> here(static_cast<std::size_t>(n));
  download(model.backend(), here.data(), from, n);
  numbers.insert(numbers.end(), here.begin(), here.end());
}

/// Four steps of two passes each, evaluated, with checkpoints after the second
/// and the last one.
template <class M>
TrainedModel train(const fs::path& folder, const std::optional<fs::path>& from = {}, const LossScaling& scaling = {}) {
  const TrainAndEval data = blocks_to_train_on();
  TrainingSettings settings{.output_dir = folder,
                            .max_steps = 4,
                            .per_device_train_batch_size = 2,
                            .per_device_eval_batch_size = 2,
                            .gradient_accumulation_steps = 2,
                            .loss_scaling = scaling,
                            .learning_rate = 1e-2,
                            .adam_epsilon = 1e-5,
                            .logging_steps = 1,
                            .eval_steps = 4,
                            .save_steps = 2};
  fs::create_directories(folder);
  ModelCompanions companions;
  companions.config.config = test::tiny_config();
  TrainedModel result;
  TrainingHooks hooks;
  hooks.on_step = [&](const StepReport& report) {
    result.applied += report.applied;
    result.loss_scales.push_back(report.loss_scale);
    result.losses.push_back(report.loss), result.norms.push_back(report.grad_norm);
  };
  hooks.on_log = [&](const Json& line) {
    if (line.contains("eval_loss")) result.evaluation = line["eval_loss"].template get<double>();
  };
  M model(companions.config.config);
  Trainer<M> trainer(model, data, companions, settings, hooks);
  if (from)
    trainer.resume(open_checkpoint(*from));
  else
    trainer.initialize(3);
  REQUIRE(trainer.run() == 0);
  const auto add = [&](const auto& places) {
    const auto total = model.layers().count();
    add_numbers(model, places.matrices, total.matrices, result.numbers);
    add_numbers(model, places.vectors, total.vectors, result.numbers);
  };
  add(trainer.optimizer().masters().all(model));
  const auto& moments = trainer.optimizer().rule();
  add(ParameterPlaces(moments.first)), add(ParameterPlaces(moments.second));
  return result;
}

/// Checks that the steps of `got` equal the last ones of `want`.
void check_steps(const TrainedModel& got, const TrainedModel& want, double tolerance) {
  const std::size_t skipped = want.losses.size() - got.losses.size();
  for (std::size_t i = 0; i < got.losses.size(); ++i) {
    CHECK(got.losses[i] == doctest::Approx(want.losses[skipped + i]).epsilon(tolerance));
    CHECK(got.norms[i] == doctest::Approx(want.norms[skipped + i]).epsilon(10 * tolerance));
  }
  CHECK(got.evaluation == doctest::Approx(want.evaluation).epsilon(tolerance));
}

template <class Precision>
void check_training(double tolerance) {
  using Cpu = CausalLM<any_shape, cpu::Backend, Precision>;
  using Gpu = CausalLM<any_shape, cuda::Backend, Precision>;
  const test::TemporaryFolder folder;
  test::use_schedule(1);
  const TrainedModel want = train<Cpu>(folder / "cpu"), got = train<Gpu>(folder / "gpu");
  REQUIRE(want.losses.size() == 4);
  REQUIRE(got.losses.size() == 4);
  CHECK(want.applied == 4);
  CHECK(got.applied == 4);
  CHECK(want.losses[3] < want.losses[0]);
  check_steps(got, want, tolerance);

  test::use_schedule(2);
  const TrainedModel resumed = train<Gpu>(folder / "resumed", folder / "gpu" / "checkpoint-2");
  CHECK(resumed.losses == std::vector(got.losses.begin() + 2, got.losses.end()));
  CHECK(resumed.evaluation == got.evaluation);
  CHECK(resumed.numbers == got.numbers);

  check_steps(train<Cpu>(folder / "cpu-from-gpu", folder / "gpu" / "checkpoint-2"), got, tolerance);
  check_steps(train<Gpu>(folder / "gpu-from-cpu", folder / "cpu" / "checkpoint-2"), want, tolerance);
}

#endif

}  // namespace

TEST_CASE(
    "models on the GPU: loss and gradients of the CPU, recomputed and in "
    "any order of its work the same bits") {
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

TEST_CASE("models with activations of a program on the GPU equal those on the CPU") {
  Config c = test::tiny_config();
  c.activation = register_activation<test::Snake>();
  check_kind<test::Language>(c);
  if (one_model) return;
  using InType = CausalLM<any_shape, cuda::Backend, Fp32, Blocks<Standard, GatedMlpWith<test::Snake>>>;
  const Step registered = step_of<CausalLM<any_shape, cuda::Backend, Fp32>, test::Language>(c, Mode::train);
  const Step in_type = step_of<InType, test::Language>(c, Mode::train);
  CHECK(in_type.loss == registered.loss);
  CHECK(in_type.gradients == registered.gradients);
  c.summary_activation = register_activation<test::StarRelu>();
  check_kind<test::DoubleHead>(c);
}

TEST_CASE("weights of a model on the GPU are saved and loaded") {
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
  const auto& weights = test::on_host(again.backend(), again.weights());
  CHECK(test::same_bits(weights, here.weights()));
}

TEST_CASE("generation on the GPU equals that on the CPU") {
  if (one_model) return;
  Config config = test::tiny_config();
  config.n_positions = 24;
  const std::vector<int> prompt{1, 5, 9, 2, 7};
  const auto run = [&](auto& model) {
    test::edit_on_host(model.backend(), model.weights(), [](const auto& weights) {
      fill_random(weights.matrices.data(), weights.matrices.size(), 5, 0.4);
      fill_random(weights.vectors.data(), weights.vectors.size(), 6, 0.4);
    });
    GenerationOptions options{.max_new_tokens = 12, .do_sample = false};
    options.prefill_chunk = 3;
    std::vector<std::vector<int>> texts{generate(model, prompt, options).tokens};
    std::vector<GenerationRequest> requests(5, {prompt, options});
    for (std::size_t i = 0; i < requests.size(); ++i) {
      requests[i].options.do_sample = true, requests[i].options.sequence = i;
      requests[i].options.repetition_penalty = 1.2, requests[i].options.no_repeat_ngram_size = 3;
    }
    requests[2].prompt.pop_back();
    // Options that are applied on the GPU as a list of tokens, and one whose tokens are chosen in host memory.
    requests[3].options.suppress_tokens = {3, 4}, requests[3].options.bad_words_ids = {{1}, {2, 7}};
    requests[4].options.typical_p = 0.8, requests[4].options.sequence_bias = {{{1, 5}, 2.0}};
    for (const auto& result : generate_batch(model, requests, 5)) texts.push_back(result.tokens);
    for (const std::size_t i : {std::size_t(1), std::size_t(3), std::size_t(4)})
      texts.push_back(generate(model, prompt, requests[i].options).tokens);
    BatchGenerator arriving(model, {.slots = 2, .prefill_chunk = 4});
    for (GenerationRequest& request : requests) {
      request.prompt.pop_back();
      texts.emplace_back();
      arriving.add(request, {.on_done = [&texts, i = texts.size() - 1](RequestId, GenerationResult result) {
                     texts[i] = std::move(result.tokens);
                   }});
      arriving.step();
    }
    while (arriving.step()) {
    }
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

#ifndef MODERNGPT2_SIMT_TSAN
#ifdef MODERNGPT2_CUDA_SIMULATED  // only the simulated GPU counts
TEST_CASE("a decoding pass over rows of unequal lengths queues the work of one row and one upload") {
  using Gpu = CausalLM<any_shape, cuda::Backend, Fp32>;
  Gpu model(test::tiny_config());
  model.initialize(1);
  CachedModel<Gpu> rows(model, 4, 16, 4);
  const std::vector<int> ids{1, 2, 3, 4}, pasts{1, 3, 2, 4};
  for (int row = 0; row < 4; ++row) rows.prefill(row, std::span(ids).first(std::size_t(pasts[std::size_t(row)])), 0);
  const auto queued_by = [&](auto&& step) {
    const std::int64_t before = simt::device().queued;
    step();
    return simt::device().queued - before;
  };
  const std::int64_t one = queued_by([&] { rows.step(std::span(ids).first(1), 1); });
  CHECK(one > 0);
  CHECK(queued_by([&] { rows.step(ids, 4); }) == one);
  CHECK(queued_by([&] { rows.step(ids, pasts); }) == one + 2);  // a copy and its event
}

TEST_CASE("a step on the GPU waits once, allocates nothing, and is skipped if it is not finite") {
  using Gpu = CausalLM<any_shape, cuda::Backend, Fp32>;
  bool cuda_graph = false;
  SUBCASE("eagerly") {}
  SUBCASE("as a graph") { cuda_graph = true; }
  const test::TemporaryFolder folder;
  simt::machine().seed(0);  // the GPU works only while the host waits: each wait counts
  const TrainAndEval data = blocks_to_train_on();
  const TrainingSettings settings{.output_dir = folder.path(),
                                  .max_steps = 5,
                                  .per_device_train_batch_size = 2,
                                  .gradient_accumulation_steps = 2,
                                  .cuda_graph = cuda_graph,
                                  .learning_rate = 1e-2};
  ModelCompanions companions;
  companions.config.config = test::tiny_config();
  const std::size_t used = simt::device().used();
  Gpu model(companions.config.config);
  Trainer<Gpu> trainer(model, data, companions, settings);
  const MemoryPlan plan =
      plan_memory<Gpu>(model.config(), settings, test::tiny_time, 1, data.train.size(), data.eval.size());
  CHECK(simt::device().used() - used - plan.device_bytes < 100);  // LossMemory and StepSums
  trainer.initialize(3);
  const LearningRateSchedule schedule = make_schedule(settings, settings.max_steps);
  const auto numbers = [&] {
    std::vector<double> all;
    const auto add = [&](const auto& buffers) {
      const auto& here = test::on_host(model.backend(), buffers);
      all.insert(all.end(), here.matrices.begin(), here.matrices.end());
      all.insert(all.end(), here.vectors.begin(), here.vectors.end());
    };
    add(model.weights()), add(trainer.optimizer().rule().first), add(trainer.optimizer().rule().second);
    return all;
  };
  const auto step = [&] {
    const std::int64_t waits = simt::device().waits, allocations = simt::device().allocations;
    const StepReport report = trainer.step(schedule);
    CHECK(simt::device().waits == waits + 1);
    CHECK(simt::device().allocations == allocations);
    return report;
  };
  CHECK(step().applied);
  CHECK(step().applied);
  const std::int64_t allocations = simt::device().allocations;
  CHECK(trainer.evaluate());
  CHECK(simt::device().allocations == allocations);
  CHECK(trainer.optimizer().updates == 2);

  float gain = 0;
  float* const there = model.weights().vectors.data();
  download(model.backend(), &gain, there, 1);
  fill(model.backend(), there, 1, std::numeric_limits<float>::infinity());
  model.backend().synchronize();
  const std::vector<double> before = numbers();
  const StepReport bad = step();
  CHECK_FALSE(bad.applied);
  CHECK_FALSE(std::isfinite(bad.loss + bad.grad_norm));
  CHECK(trainer.optimizer().updates == 2);
  CHECK(trainer.state().skipped == 1);
  CHECK(numbers() == before);

  store(model.backend(), there, &gain, 1);
  CHECK(step().applied);
  CHECK(trainer.optimizer().updates == 3);
  CHECK(numbers() != before);
}
#endif

TEST_CASE("training on the GPU: steps as on the CPU, bit-identical resume, interchangeable checkpoints") {
  check_training<Fp32>(1e-5);
}

#ifndef __SANITIZE_ADDRESS__  // one precision shows who touches whose memory; each takes it half a minute to compile
TEST_CASE("training on the GPU in bf16: steps as on the CPU, bit-identical resume, interchangeable checkpoints") {
  check_training<Bf16>(2e-2);
}

TEST_CASE("training on the GPU in fp16: losses as in fp32, the loss scale shrinks on overflow and is resumed") {
  using Gpu = CausalLM<any_shape, cuda::Backend, Fp16>;
  const test::TemporaryFolder folder;
  test::use_schedule(3);
  const TrainedModel want = train<CausalLM<any_shape>>(folder / "cpu");
  const TrainedModel got = train<Gpu>(folder / "gpu", {}, {.initial_scale_power = 6});
  CHECK(got.applied == 4);
  CHECK(got.loss_scales == std::vector(4, 64.0));
  check_steps(got, want, 2e-3);

  // The largest gradient is about 10, which times 8192 overflows fp16. Each step without overflow doubles the scale.
  const LossScaling scaling{.initial_scale_power = 12, .loss_scale_window = 1, .hysteresis = 1};
  const TrainedModel whole = train<Gpu>(folder / "scaled", {}, scaling);
  CHECK(whole.loss_scales == std::vector<double>{4096, 8192, 4096, 2048});
  CHECK(whole.applied == 2);
  CHECK(whole.losses[0] == got.losses[0]);
  const TrainedModel resumed = train<Gpu>(folder / "resumed", folder / "scaled" / "checkpoint-2", scaling);
  CHECK(resumed.loss_scales == std::vector(whole.loss_scales.begin() + 2, whole.loss_scales.end()));
  CHECK(resumed.losses == std::vector(whole.losses.begin() + 2, whole.losses.end()));
  CHECK(resumed.numbers == whole.numbers);
}
#endif
#endif
