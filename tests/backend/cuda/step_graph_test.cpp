#define MODERNGPT2_CASES_ON_CUDA 1

#include <algorithm>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include "backend/cuda/check_cuda_case.hpp"
#include "model/model_under_test.hpp"
#include "moderngpt2/backend/cuda.hpp"
#include "moderngpt2/generation/generate.hpp"
#include "moderngpt2/run/plan.hpp"
#include "moderngpt2/training/trainer.hpp"
#include "support/temporary_folder.hpp"

using namespace moderngpt2;
namespace fs = std::filesystem;

namespace {

struct GraphCounts {
  std::int64_t instantiated = 0, updated = 0;
};
/// Counts so far. Available on the simulated GPU only.
GraphCounts graph_counts() {
#ifdef MODERNGPT2_CUDA_SIMULATED
  return {simt::device().graphs_instantiated, simt::device().graphs_updated};
#else
  return {};
#endif
}
void check_counts(const GraphCounts& before, std::int64_t instantiated, std::int64_t updated) {
#ifdef MODERNGPT2_CUDA_SIMULATED
  CHECK(graph_counts().instantiated - before.instantiated == instantiated);
  CHECK(graph_counts().updated - before.updated == updated);
#else
  (void)before, (void)instantiated, (void)updated;
#endif
}

constexpr int n_inputs = 100;

/// Adds the inputs of `passes` passes to `sum` in GPU memory. Inputs are `first` in the first pass and increase by 1
/// with each.
void add_passes(cuda::Backend& b, float* sum, float first, int passes) {
  for (int pass = 0; pass < passes; ++pass) {
    begin_pass(b);
    const std::vector<float> numbers(n_inputs, first + float(pass));
    add_to(b, sum, upload(b, numbers.data(), n_inputs), n_inputs);
  }
}

std::string error_of_step(cuda::StepGraph& graph, cuda::Backend& b, const std::function<void()>& queue) {
  try {
    graph.run(b, {}, queue);
  } catch (const Error& e) {
    return e.what();
  }
  return {};
}

}  // namespace

TEST_CASE("inputs of a captured step and of the step before stay valid until the launch") {
  for (const std::uint64_t schedule : test::schedules) {
    test::use_schedule(schedule);
    cuda::Backend b;
    b.inputs().reserve(n_inputs * sizeof(float), 3);
    const cuda::DeviceArray<float> sum(n_inputs);
    fill(b, sum.data(), n_inputs, 0.0f);
    cuda::StepGraph graph;
    const GraphCounts before = graph_counts();
    float want = 0;
    for (int step = 0; step < 5; ++step) {
      graph.run(b, {}, [&] { add_passes(b, sum.data(), float(step), 3); });
      want += float(3 * step + 3);
      add_passes(b, sum.data(), 100, 2);  // work outside of steps waits for pinned memory
      want += 201;
    }
    check_counts(before, 1, 3);
    std::vector<float> got(n_inputs);
    download(b, got.data(), sum.data(), n_inputs);
    CHECK(got == std::vector<float>(n_inputs, want));
    CHECK(error_of_step(graph, b, [&] { add_passes(b, sum.data(), 0, 4); }).find("more passes than the 3 for") !=
          std::string::npos);
  }
}

TEST_CASE("one graph per step shape, for the most recently used shapes") {
  test::use_schedule(1);
  cuda::Backend b;
  const cuda::DeviceArray<float> x(1);
  const auto run = [&](cuda::StepGraph& graph, int rows) {
    graph.run(b, {.rows = rows}, [&] {
      for (int i = 0; i < rows; ++i) fill(b, x.data(), 1, float(rows));
    });
    float got = 0;
    download(b, &got, x.data(), 1);
    CHECK(got == float(rows));
  };
  for (const bool is_short : {false, true}) {
    cuda::StepGraph graph(is_short ? 1 : 2);
    const GraphCounts before = graph_counts();
    for (int i = 0; i < 4; ++i)
      for (const int rows : {1, 2}) run(graph, rows);
    is_short ? check_counts(before, 6, 0) : check_counts(before, 2, 4);
  }
}

TEST_CASE("a step that cannot be captured throws an Error with advice, and the backend stays usable") {
  test::use_schedule(2);
  cuda::Backend b;
  const cuda::DeviceArray<float> x(1000);
  const auto fill_all = [&](float value) { fill(b, x.data(), x.size(), value); };
  const std::vector<std::function<void()>> breaking{
      [&] { b.synchronize(); }, [&] { (void)sum_of_squares(b, x.data(), x.size()); },
      [&] { b.scratch<float>(std::int64_t(b.scratch_bytes()) + 1); }, [&] { (void)cuda::DeviceBuffer(1 << 10); }};
  for (std::size_t i = 0; i < breaking.size(); ++i) {
    CAPTURE(i);
    cuda::StepGraph graph;
    CHECK(error_of_step(graph, b, [&] { fill_all(1); }).empty());
    const std::string error = error_of_step(graph, b, [&] {
      fill_all(2);
      breaking[i]();
      fill_all(3);
    });
    CHECK(error.find("turn cuda_graph off") != std::string::npos);
    CHECK(error.find("cudaErrorStreamCapture") != std::string::npos);
    CHECK(error.find('\n') == std::string::npos);
    // Other errors are passed on unchanged.
    CHECK(error_of_step(graph, b, [] { throw Error("a token is outside"); }) == "a token is outside");
    CHECK(sum_of_squares(b, x.data(), x.size()) == 1000);
    CHECK(error_of_step(graph, b, [&] { fill_all(2); }).empty());
    CHECK(sum_of_squares(b, x.data(), x.size()) == 4000);
  }
}

#ifndef MODERNGPT2_SIMT_TSAN
namespace {

/// Nine blocks to train on, some with padding: with four per step, the last step of an epoch has one.
TrainAndEval blocks_of_graphs() {
  std::vector<std::int32_t> ids;
  for (int i = 0; i < 11 * test::tiny_time; ++i) ids.push_back(1 + i * i % 12);
  ids[14] = ids[18] = ids[19] = 0;
  return hold_out(std::make_shared<MemoryBlocks>(ids, test::tiny_time), 2);
}

struct GraphRun {
  std::vector<std::string> lines;  ///< log without times
  std::vector<bool> applied;
  std::vector<int> sampled;
  std::vector<double> numbers;  ///< weights as training keeps them, then both moments
};

template <class M>
GraphRun train_by_graph(const fs::path& folder, bool cuda_graph, const LossScaling& scaling = {},
                        const std::optional<fs::path>& from = {}) {
  const TrainAndEval data = blocks_of_graphs();
  TrainingSettings settings{.output_dir = folder,
                            .max_steps = 9,
                            .per_device_train_batch_size = 1,
                            .per_device_eval_batch_size = 2,
                            .gradient_accumulation_steps = 4,
                            .cuda_graph = cuda_graph,
                            .loss_scaling = scaling,
                            .learning_rate = 1e-2,
                            .adam_epsilon = 1e-5,
                            .logging_steps = 1,
                            .eval_steps = 2,
                            .save_steps = 5};
  fs::create_directories(folder);
  ModelCompanions companions;
  companions.config.config = test::tiny_config();
  GraphRun run;
  M model(companions.config.config);
  TrainingHooks hooks;
  hooks.on_step = [&](const StepReport& report) { run.applied.push_back(report.applied); };
  hooks.on_log = [&](Json line) {
    for (const char* of_clock : {"tokens_per_second", "data_wait", "resident_bytes", "seconds_left"})
      line.erase(of_clock);
    run.lines.push_back(line.dump());  // a number that is not finite is null
  };
  hooks.on_samples = [&](std::int64_t) {
    const std::vector<int> tokens =
        generate(model, std::vector<int>{1, 5, 9}, {.max_new_tokens = 3, .do_sample = false}).tokens;
    run.sampled.insert(run.sampled.end(), tokens.begin(), tokens.end());
  };
  Trainer<M> trainer(model, data, companions, settings, hooks);
  from ? trainer.resume(open_checkpoint(*from)) : trainer.initialize(3);
  REQUIRE(trainer.run() == 0);
  const auto add = [&](const auto& places) {
    const auto total = model.layers().count();
    const auto add_from = [&](const auto* there, std::int64_t n) {
      std::vector<std::remove_cvref_t<decltype(*there)>> here(static_cast<std::size_t>(n));
      download(model.backend(), here.data(), there, n);
      run.numbers.insert(run.numbers.end(), here.begin(), here.end());
    };
    add_from(places.matrices, total.matrices), add_from(places.vectors, total.vectors);
  };
  add(trainer.optimizer().masters().all(model));
  const auto& moments = trainer.optimizer().rule();
  add(ParameterPlaces(moments.first)), add(ParameterPlaces(moments.second));
  return run;
}

void check_same(const GraphRun& got, const GraphRun& want) {
  CHECK(got.lines == want.lines);
  CHECK(got.applied == want.applied);
  CHECK(got.sampled == want.sampled);
  CHECK(got.numbers == want.numbers);
}

/// Training without graphs, with graphs in one or two schedules, and resumed with graphs.
template <class Precision>
GraphRun check_graph_training(std::uint64_t schedules, const LossScaling& scaling = {}) {
  using M = CausalLM<any_shape, cuda::Backend, Precision>;
  const test::TemporaryFolder folder;
  test::use_schedule(1);
  const GraphRun want = train_by_graph<M>(folder / "stream", false, scaling);
  REQUIRE(want.applied.size() == 9);
  for (std::uint64_t schedule = 1; schedule <= schedules; ++schedule) {
    CAPTURE(schedule);
    test::use_schedule(schedule);
    const GraphCounts before = graph_counts();
    check_same(train_by_graph<M>(folder / std::to_string(schedule), true, scaling), want);
    check_counts(before, 2, 5);  // full batches and the last block of an epoch, each queued once eagerly
  }
  GraphRun resumed = train_by_graph<M>(folder / "resumed", true, scaling, folder / "1" / "checkpoint-5");
  CHECK(resumed.numbers == want.numbers);
  REQUIRE(resumed.lines.size() <= want.lines.size());
  CHECK(
      std::equal(resumed.lines.begin(), resumed.lines.end(), want.lines.end() - std::ptrdiff_t(resumed.lines.size())));
  return want;
}

}  // namespace

TEST_CASE("training with graphs: log, samples and weights are bit-identical to training without, also resumed") {
  const GraphRun run = check_graph_training<Fp32>(2);
  CHECK(std::count(run.applied.begin(), run.applied.end(), true) == 9);
  CHECK(run.sampled.size() >= 12);
}

#ifndef __SANITIZE_ADDRESS__  // half a minute to compile each
TEST_CASE("training with graphs in bf16: bit-identical to training without, also resumed") {
  check_graph_training<Bf16>(1);
}

TEST_CASE("training with graphs in fp16: bit-identical to training without, also resumed, with overflows") {
  const GraphRun run =
      check_graph_training<Fp16>(1, {.initial_scale_power = 12, .loss_scale_window = 1, .hysteresis = 1});
  CHECK(std::count(run.applied.begin(), run.applied.end(), true) >= 3);
  CHECK(std::count(run.applied.begin(), run.applied.end(), false) >= 2);
}
#endif
#endif
