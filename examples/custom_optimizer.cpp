/// An optimizer of your own: SGD with momentum. Trains a small model with it, on one rank and on two ranks that share
/// its state (ZeRO stage 1), and resumes it from a checkpoint.

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <memory>
#include <string>
#include <unistd.h>
#include <vector>

#include <fmt/format.h>

#include "moderngpt2/config/presets.hpp"
#include "moderngpt2/data/blocks.hpp"
#include "moderngpt2/model/heads.hpp"
#include "moderngpt2/testing/thread_ranks.hpp"
#include "moderngpt2/training/trainer.hpp"

using namespace moderngpt2;
namespace fs = std::filesystem;

/// SGD with momentum (Polyak 1964), as torch.optim.SGD computes it. Matrices decay, norms and biases do not. For models
/// of the CPU.
template <class M>
class SgdMomentum {
 public:
  static constexpr const char* name = "SgdMomentum";

  // 1. ZeRO may cut matrices: every element is updated by itself.
  static constexpr bool needs_whole_matrices = false;

  // 2. Hyperparameters. Trainer constructs the optimizer from its settings, or takes an instance.
  explicit SgdMomentum(const TrainingSettings& s, double momentum = 0.9)
      : momentum_(float(momentum)), weight_decay_(float(s.weight_decay)) {}

  // 3. State: named once. Allocation, sharding, checkpoints and the memory plan follow from `describe_state`.
  template <class Self, class Visitor>
  static void describe_state(Self& self, Visitor&& visit) {
    visit("momentum_buffer", self.momentum_buffer_, StateScope::all);
  }

  // 4. The update of one piece of the parameters.
  template <class Piece>
  void update(typename M::Backend& backend, const Piece& piece, const UpdateStep& step) {
    float* const momentum_buffer = piece.state(momentum_buffer_);
    const float rate = float(step.learning_rate), scale = float(step.gradient_scale);
    const float decay = Piece::is_matrix ? weight_decay_ : 0;
    parallel_ranges(backend.threads(), piece.count, 1 << 14, [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t i = begin; i < end; ++i) {
        const float gradient = scale * piece.gradients[i] + decay * piece.weights[i];
        momentum_buffer[i] = momentum_ * momentum_buffer[i] + gradient;
        piece.weights[i] -= rate * momentum_buffer[i];
        if constexpr (Piece::has_rounded) piece.rounded[i] = bf16(piece.weights[i]);
      }
    });
  }

 private:
  StateTensors<M> momentum_buffer_;
  float momentum_, weight_decay_;
};

namespace {

using Model = CausalLM<any_shape>;
using RoundedModel = CausalLM<any_shape, cpu::Backend, Bf16>;
static_assert(OptimizerFor<SgdMomentum<Model>, Model>);
static_assert(OptimizerFor<SgdMomentum<RoundedModel>, RoundedModel>);

constexpr int time = 16;

Config small_model() {
  Config c = size_config(2, 32, 2, 64);
  c.n_positions = time;
  c.resid_pdrop = c.embd_pdrop = c.attn_pdrop = 0;
  return c;
}

/// Sequences that count up from a random token.
TrainAndEval counting_blocks() {
  std::vector<std::int32_t> ids;
  for (int block = 0; block < 60; ++block)
    for (int t = 0; t < time; ++t) ids.push_back(std::int32_t((mix64(std::uint64_t(block)) + std::uint64_t(t)) % 64));
  return hold_out(std::make_shared<MemoryBlocks>(ids, time), 4);
}

struct Result {
  std::vector<double> losses;  ///< one per step
  std::vector<float> weights;
  std::string error;  ///< empty if the run succeeded
};

/// Trains to step 40 on `ranks` threads; resumes `from` a checkpoint if the path is not empty.
Result train(int ranks, const fs::path& output_dir, const fs::path& from = {}) {
  const TrainAndEval data = counting_blocks();
  TrainingSettings settings;
  settings.output_dir = output_dir;
  settings.max_steps = 40, settings.save_steps = 20, settings.logging_steps = 10, settings.eval_steps = 20;
  settings.per_device_train_batch_size = 8 / ranks, settings.world_size = ranks, settings.zero_stage = 1;
  settings.learning_rate = 0.1;
  Result result;
  const auto run_rank = [&](distributed::CommunicatorBase& communicator) {
    Model model(small_model(), cpu::Backend(1), distributed::buffer_granule(ranks));
    TrainingHooks hooks;
    hooks.on_step = [&](const StepReport& report) {
      if (communicator.rank() == 0) result.losses.push_back(report.loss);
    };
    Trainer trainer(SgdMomentum<Model>(settings, 0.8), model, data, {}, settings, hooks, &communicator);
    if (from.empty())
      trainer.initialize(1);
    else
      trainer.resume(open_checkpoint(from));
    trainer.run();
    const auto& matrices = model.weights().matrices;
    if (communicator.rank() == 0) result.weights.assign(matrices.data(), matrices.data() + matrices.size());
  };
  for (const std::string& thrown : distributed::run_thread_ranks(ranks, {.timeout_seconds = 60}, run_rank))
    result.error += thrown;
  return result;
}

bool check(const char* what, bool good) {
  std::printf("%s: %s\n", what, good ? "yes" : "NO");
  return good;
}

int run(const fs::path& folder) {
  const Result one = train(1, folder / "one"), two = train(2, folder / "two");
  const Result resumed = train(1, folder / "resumed", folder / "one" / "checkpoint-20");
  const Result joined = train(1, folder / "joined", folder / "two" / "checkpoint-20");
  for (const Result* result : {&one, &two, &resumed, &joined})
    if (!result->error.empty()) return std::printf("%s\n", result->error.c_str()), 1;

  const auto difference = [&](const Result& other) {
    double most = 0;
    for (std::size_t i = 1; i <= other.losses.size(); ++i)
      most = std::max(most, std::abs(other.losses.end()[-std::ptrdiff_t(i)] - one.losses.end()[-std::ptrdiff_t(i)]));
    return most;
  };
  std::printf("loss: %.3f at the first step, %.3f at the last\n", one.losses.front(), one.losses.back());
  bool good = check("the loss falls", one.losses.back() < one.losses.front() - 1);
  good &= check("two ranks have the losses of one", two.losses.size() == 40 && difference(two) < 1e-5);
  good &= check("resumed at step 20, the same bits",
                resumed.losses.size() == 20 && difference(resumed) == 0 && resumed.weights == one.weights);
  good &= check("state of two ranks resumes on one", joined.losses.size() == 20 && difference(joined) < 1e-5);
  return good ? 0 : 1;
}

}  // namespace

int main() {
  const fs::path folder = fs::temp_directory_path() / fmt::format("custom_optimizer-{}", getpid());
  const int status = run(folder);
  fs::remove_all(folder);
  return status;
}
