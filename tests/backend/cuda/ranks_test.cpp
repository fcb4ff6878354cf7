#define MODERNGPT2_CASES_ON_CUDA 1

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <doctest/doctest.h>

#include "backend/cuda/check_cuda_case.hpp"
#include "backend/cuda/simulated_nccl.hpp"
#include "moderngpt2/backend/cuda.hpp"
#include "moderngpt2/generation/generate.hpp"
#include "moderngpt2/io/safetensors.hpp"
#include "moderngpt2/model/heads.hpp"
#include "moderngpt2/training/plan.hpp"
#include "moderngpt2/training/trainer.hpp"
#include "support/temporary_folder.hpp"

// Each rank is a thread with a simulated GPU of its own. ThreadSanitizer cannot tell their work apart.
#ifndef MODERNGPT2_SIMT_TSAN

using namespace moderngpt2;
namespace fs = std::filesystem;

namespace {

/// Four layers, whose half blocks are several pages.
Config config_of_ranks(bool tied = true) {
  Config c;
  c.vocab_size = 40, c.n_positions = 8, c.n_embd = 32, c.n_layer = 4, c.n_head = 4, c.n_kv_head = 2, c.head_dim = 8;
  c.n_inner = 128;
  c.resid_pdrop = c.embd_pdrop = c.attn_pdrop = 0.1;
  c.pad_token_id = 0;
  c.tied_head = tied;
  return c;
}

/// Nine blocks to train on: the third step of four has one for all ranks.
TrainAndEval blocks_of_ranks() {
  std::vector<std::int32_t> ids;
  for (int i = 0; i < 11 * 6; ++i) ids.push_back(1 + i * i % 37);
  return hold_out(std::make_shared<MemoryBlocks>(ids, 6), 2);
}

struct RanksRun {
  std::vector<double> losses, norms;
  double evaluation = 0;
  std::vector<int> sampled;
  std::string thrown;
};

template <class M>
struct RanksTask {
  fs::path folder;
  Config config = config_of_ranks();
  std::optional<fs::path> from{};
  bool gradient_checkpointing = false;

  TrainingSettings settings(int ranks, int stage) const {
    return {.output_dir = folder,
            .max_steps = 4,
            .per_device_train_batch_size = 2 / ranks,
            .per_device_eval_batch_size = 1,
            .gradient_accumulation_steps = 2,
            .world_size = ranks,
            .zero_stage = stage,
            .bucket_elements = 5000,
            .gradient_checkpointing = gradient_checkpointing,
            .learning_rate = 1e-2,
            .adam_epsilon = 1e-5,
            .logging_steps = 1,
            .eval_steps = 4,
            .save_steps = 2};
  }

  /// One rank. What is the same on all is kept of the first.
  void train(M& model, const TrainingSettings& s, RanksRun& result, distributed::CommunicatorBase* ranks = nullptr,
             distributed::CommunicatorBase* gpus = nullptr) const {
    const TrainAndEval data = blocks_of_ranks();
    ModelCompanions companions;
    companions.config.config = config;
    TrainingHooks hooks;
    std::int64_t allocations = 0;
    if (!ranks || ranks->rank() == 0) {
      hooks.on_step = [&](const StepReport& report) {
        if (simt::device().allocations != allocations) throw Error("step {} has allocated", report.step);
        result.losses.push_back(report.loss), result.norms.push_back(report.grad_norm);
      };
      hooks.on_log = [&](const Json& line) {
        if (line.contains("eval_loss")) result.evaluation = line["eval_loss"].template get<double>();
      };
      hooks.on_samples = [&](std::int64_t) {
        GenerationOptions options{.max_new_tokens = 3, .do_sample = false};
        result.sampled = generate(model, std::vector<int>{1, 5, 9}, options).tokens;
      };
    }
    Trainer<M> trainer(model, data, companions, s, hooks, ranks, gpus);
    from ? trainer.resume(open_checkpoint(*from)) : trainer.initialize(3);
    allocations = simt::device().allocations;
    if (trainer.run() != 0) throw Error("the run was stopped");
  }

  RanksRun on_cpu() const requires OnHost<typename M::Backend> {
    RanksRun result;
    fs::create_directories(folder);
    M model(config, cpu::Backend(1));
    train(model, settings(1, 0), result);
    return result;
  }

  RanksRun on_gpus(int ranks, int stage, std::uint64_t schedule) const {
    RanksRun result;
    fs::create_directories(folder);
    result.thrown = test::run_gpu_ranks(
        ranks, schedule, [&](distributed::CommunicatorBase& host, distributed::CommunicatorBase& gpus, auto& backend) {
          const TrainingSettings s = settings(ranks, stage);
          M model(config, std::move(backend), distributed::buffer_granule(ranks), pages_of(s));
          train(model, s, result, &host, &gpus);
          const auto layout = layout_of(model, s, ranks);
          const auto& weights = model.weights().matrices;
          using E = std::remove_reference_t<decltype(*weights.data())>;
          const std::size_t bytes = std::size_t(weights.size()) * sizeof(E);
          const std::size_t planned =
              stage == 3
                  ? 4096 * share_memory(distributed::use_of_weights(layout, host.rank(), sizeof(E)), bytes, 4096).pieces
                  : round_up(bytes, alignment);
          const std::size_t had = model.weights().matrices.memory().memory_bytes();
          if (had != planned || (stage == 3 && had >= bytes))
            throw Error("weights of {} bytes have {}, planned were {}", bytes, had, planned);
          backend = std::move(model.backend());
        });
    return result;
  }
};

void check_ranks(const RanksRun& got, const RanksRun& want, double tolerance) {
  CHECK(got.thrown == "");
  REQUIRE(got.losses.size() == want.losses.size());
  for (std::size_t i = 0; i < got.losses.size(); ++i) {
    CHECK(got.losses[i] == doctest::Approx(want.losses[i]).epsilon(tolerance));
    CHECK(got.norms[i] == doctest::Approx(want.norms[i]).epsilon(10 * tolerance));
  }
  CHECK(got.evaluation == doctest::Approx(want.evaluation).epsilon(tolerance));
}

/// Largest difference between the weights of two runs, as their files have them.
double difference_of_files(const fs::path& a, const fs::path& b, const std::vector<ParameterInfo>& parameters) {
  const SafetensorsFile one(a / "model.safetensors"), other(b / "model.safetensors");
  double worst = 0;
  for (const ParameterInfo& p : parameters) {
    const auto x = one.read_vector<float>(p.name), y = other.read_vector<float>(p.name);
    for (std::size_t i = 0; i < x.size(); ++i) worst = std::max(worst, double(std::abs(x[i] - y[i])));
  }
  return worst;
}

using CpuOfRanks = CausalLM<any_shape>;
using GpuOfRanks = CausalLM<any_shape, cuda::Backend, Fp32>;

}  // namespace

TEST_CASE("GPUs train together what a processor trains, in every ZeRO stage") {
  const test::TemporaryFolder folder;
  const RanksRun want = RanksTask<CpuOfRanks>{folder / "cpu"}.on_cpu();
  REQUIRE(want.losses.size() == 4);
  CHECK(want.losses[3] < want.losses[0]);
  const auto parameters = Decoder<any_shape, CpuOfRanks::Head>(config_of_ranks()).list();
  for (const int stage : {1, 2, 3}) {
    CAPTURE(stage);
    const fs::path out = folder / std::to_string(stage);
    const RanksRun got = RanksTask<GpuOfRanks>{out}.on_gpus(2, stage, std::uint64_t(stage));
    check_ranks(got, want, 1e-5);
    CHECK(got.sampled == want.sampled);
    CHECK(difference_of_files(out, folder / "cpu", parameters) < 1e-4);
  }
  // In another order of the work the same bits, and a processor goes on from their checkpoint.
  const RanksRun three = RanksTask<GpuOfRanks>{folder / "again"}.on_gpus(2, 3, 0);
  CHECK(three.thrown == "");
  CHECK(difference_of_files(folder / "again", folder / "3", parameters) == 0);
  const RanksRun on = RanksTask<CpuOfRanks>{.folder = folder / "on", .from = folder / "3" / "checkpoint-2"}.on_cpu();
  REQUIRE(on.losses.size() == 2);
  CHECK(on.losses[1] == doctest::Approx(want.losses[3]).epsilon(1e-5));
}

TEST_CASE("the plan of a GPU: less in each stage, its passes in whole chunks") {
  Config c = config_of_ranks();
  c.n_embd = 512, c.n_head = 8, c.n_kv_head = 8, c.head_dim = 64, c.n_inner = 1536, c.n_layer = 8, c.vocab_size = 8000;
  TrainingSettings s;
  s.world_size = 4;
  std::vector<std::uint64_t> totals;
  for (const int stage : {0, 1, 2, 3}) {
    s.zero_stage = stage;
    totals.push_back(plan_memory<GpuOfRanks>(c, s, 8, 1).device_bytes);
    if (stage > 0) CHECK(totals.back() < totals[std::size_t(stage) - 1]);
  }
  const Decoder<any_shape, GpuOfRanks::Head> layers(c);
  const auto mapped = detail::mapped_bytes(layers, s, sizeof(float), sizeof(float));
  const std::uint64_t whole = std::uint64_t(layers.count().matrices) * sizeof(float);
  CHECK(mapped.weights % usual_chunk == 0);
  CHECK(mapped.gradients % usual_chunk == 0);
  CHECK(mapped.weights < whole * 3 / 4);
  CHECK(mapped.gradients < whole * 3 / 4);
}

#endif
