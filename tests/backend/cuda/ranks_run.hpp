#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include <doctest/doctest.h>

#include "backend/cuda/simulated_nccl.hpp"
#include "moderngpt2/backend/cuda.hpp"
#include "moderngpt2/generation/generate.hpp"
#include "moderngpt2/io/safetensors.hpp"
#include "moderngpt2/model/heads.hpp"
#include "moderngpt2/run/plan.hpp"
#include "moderngpt2/training/trainer.hpp"
#include "support/temporary_folder.hpp"

// Trains a model on a CPU, on one simulated GPU, or on several ranks that are threads with a simulated GPU each.
namespace moderngpt2::test {

/// Four layers whose half blocks take several pages.
inline Config config_of_ranks() {
  Config c;
  c.vocab_size = 40, c.n_positions = 8, c.n_embd = 32, c.n_layer = 4, c.n_head = 4, c.n_kv_head = 2, c.head_dim = 8;
  c.n_inner = 128;
  c.resid_pdrop = c.embd_pdrop = c.attn_pdrop = 0.1;
  c.pad_token_id = 0;
  return c;
}

/// Nine blocks to train on: the third step of four has one for all ranks.
inline TrainAndEval blocks_of_ranks() {
  std::vector<std::int32_t> ids;
  for (int i = 0; i < 11 * 6; ++i) ids.push_back(1 + i * i % 37);
  return hold_out(std::make_shared<MemoryBlocks>(ids, 6), 2);
}

struct RanksRun {
  std::vector<double> losses, norms, loss_scales;
  std::vector<bool> applied;
  Json evaluation;  ///< the last line of metrics.jsonl that has one
  std::vector<int> sampled;
  std::vector<std::size_t> mapped;  ///< bytes of each rank's GPU that have addresses apart from their memory
  std::string thrown;
};

template <class M, class Task = LanguageModelling>
struct RanksTask {
  std::filesystem::path folder;
  typename Task::Splits data;
  Config config = config_of_ranks();
  std::optional<std::filesystem::path> from{};
  LossScaling loss_scaling{};
  int steps = 4;
  std::function<void(TrainingSettings&)> adjust{};                           ///< further settings
  std::function<void(M& model, int rank, std::int64_t step)> before_step{};  ///< called on every rank

  TrainingSettings settings(int ranks, int stage) const {
    TrainingSettings s{.output_dir = folder,
                       .max_steps = steps,
                       .per_device_train_batch_size = 2 / ranks,
                       .per_device_eval_batch_size = 1,
                       .gradient_accumulation_steps = 2,
                       .world_size = ranks,
                       .zero_stage = stage,
                       .bucket_elements = 5000,
                       .loss_scaling = loss_scaling,
                       .learning_rate = 1e-2,
                       .adam_epsilon = 1e-5,
                       .logging_steps = 1,
                       .eval_steps = steps,
                       .save_steps = 2};
    if (adjust) adjust(s);
    return s;
  }

  /// One rank. Results that are equal on all ranks are kept of the first.
  void train(M& model, const TrainingSettings& s, RanksRun& result, distributed::CommunicatorBase* ranks = nullptr,
             distributed::CommunicatorBase* gpus = nullptr) const {
    ModelCompanions companions;
    companions.config.config = config;
    TrainingHooks hooks;
    std::int64_t allocations = 0;
    if (!ranks || ranks->rank() == 0) {
      hooks.on_step = [&](const StepReport& report) {
        if (simt::device().allocations != allocations) throw Error("step {} has allocated", report.step);
        result.losses.push_back(report.loss), result.norms.push_back(report.grad_norm);
        result.loss_scales.push_back(report.loss_scale), result.applied.push_back(report.applied);
      };
      hooks.on_log = [&](const Json& line) {
        if (line.contains("eval_loss")) result.evaluation = line;
      };
      if constexpr (std::is_same_v<Task, LanguageModelling>)
        hooks.on_samples = [&](std::int64_t) {
          GenerationOptions options{.max_new_tokens = 3, .do_sample = false};
          result.sampled = generate(model, std::vector<int>{1, 5, 9}, options).tokens;
        };
    }
    const int rank = ranks ? ranks->rank() : 0;
    if (before_step) {
      before_step(model, rank, 1);
      hooks.on_step = [&, also = hooks.on_step](const StepReport& report) {
        if (also) also(report);
        before_step(model, rank, report.step + 1);
      };
    }
    Trainer<M, Task> trainer(model, data, companions, s, hooks, ranks, gpus);
    from ? trainer.resume(open_checkpoint(*from)) : trainer.initialize(3);
    allocations = simt::device().allocations;
    if (trainer.run() != 0) throw Error("the run was stopped");
    if (ranks) result.mapped[std::size_t(ranks->rank())] = simt::device().virtual_memory.used();
  }

  /// Runs on a CPU, or on one GPU.
  RanksRun alone() const {
    RanksRun result;
    std::filesystem::create_directories(folder);
    M model(config);
    train(model, settings(1, 0), result);
    return result;
  }

  RanksRun on_gpus(int ranks, int stage, std::uint64_t schedule) const {
    RanksRun result;
    result.mapped.resize(std::size_t(ranks));
    std::filesystem::create_directories(folder);
    result.thrown = run_gpu_ranks(
        ranks, schedule, [&](distributed::CommunicatorBase& host, distributed::CommunicatorBase& gpus, auto& backend) {
          const TrainingSettings s = settings(ranks, stage);
          M model(config, std::move(backend), distributed::buffer_granule(ranks), pages_of(s));
          train(model, s, result, &host, &gpus);
          backend = std::move(model.backend());
        });
    return result;
  }
};

/// Checks that the memory of the rank with most of it equals the plan.
template <class M, class Task>
void check_mapped(const RanksTask<M, Task>& task, const RanksRun& got, int stage) {
  const int ranks = int(got.mapped.size());
  const typename M::Layers layers(task.config);
  const auto planned = detail::mapped_bytes(layers, task.settings(ranks, stage), sizeof(typename M::T),
                                            sizeof(typename M::FullElements::MatrixType), simulated_chunk);
  CHECK(*std::max_element(got.mapped.begin(), got.mapped.end()) == planned.weights + planned.gradients);
  CHECK((planned.gradients > 0) == (stage >= 2));
  CHECK((planned.weights > 0) == (stage == 3));
}

/// Checks that losses differ by at most `tolerance`, norms by 10 times that, and that the same steps were applied.
inline void check_ranks(const RanksRun& got, const RanksRun& want, double tolerance) {
  CHECK(got.thrown == "");
  REQUIRE(got.losses.size() == want.losses.size());
  CHECK(got.applied == want.applied);
  for (std::size_t i = 0; i < got.losses.size(); ++i) {
    CHECK(got.losses[i] == doctest::Approx(want.losses[i]).epsilon(tolerance));
    if (want.applied[i]) CHECK(got.norms[i] == doctest::Approx(want.norms[i]).epsilon(10 * tolerance));
  }
  REQUIRE(want.evaluation.contains("eval_loss"));
  REQUIRE(got.evaluation.size() == want.evaluation.size());
  for (const auto& [name, value] : want.evaluation.items())
    CHECK(got.evaluation.at(name).get<double>() == doctest::Approx(value.get<double>()).epsilon(tolerance));
}

/// Largest difference between the saved weights of two runs.
inline double difference_of_files(const std::filesystem::path& a, const std::filesystem::path& b,
                                  const std::vector<ParameterInfo>& parameters) {
  const SafetensorsFile one(a / "model.safetensors"), other(b / "model.safetensors");
  double worst = 0;
  for (const ParameterInfo& p : parameters) {
    const auto x = one.read_vector<float>(p.name), y = other.read_vector<float>(p.name);
    for (std::size_t i = 0; i < x.size(); ++i) worst = std::max(worst, double(std::abs(x[i] - y[i])));
  }
  return worst;
}

}  // namespace moderngpt2::test
