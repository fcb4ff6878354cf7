// Trains the small model for two steps and compares the memory that the process took with the plan that --dry_run
// prints; also in two ranks, which are threads, with ZeRO stage 3. A program of its own: a peak is of the whole
// process.

#include <cstdio>
#include <cstdlib>
#include <memory>
#include <string>

#include "moderngpt2/config/presets.hpp"
#include "moderngpt2/data/blocks.hpp"
#include "moderngpt2/model/heads.hpp"
#include "moderngpt2/run/plan.hpp"
#include "moderngpt2/testing/thread_ranks.hpp"
#include "moderngpt2/training/meter.hpp"
#include "moderngpt2/training/sharded_weights.hpp"
#include "moderngpt2/training/trainer.hpp"

using namespace moderngpt2;

/// Whether training as M takes the memory that is planned for it.
template <class M>
bool check(const Config& config, int ranks) {
  constexpr int time = 128;
  TrainingSettings settings;
  settings.world_size = ranks, settings.zero_stage = 3, settings.dataloader_num_workers = 0;
  settings.per_device_train_batch_size = 2, settings.per_device_eval_batch_size = 2, settings.max_steps = 2;
  const auto blocks = std::make_shared<MemoryBlocks>(std::vector<std::int32_t>(20 * time, 5), time);
  const TrainAndEval data = hold_out(blocks, 2);
  const int threads = ranks > 1 ? 1 : available_threads();

  const double before = double(resident_bytes());
  const auto train = [&](distributed::CommunicatorBase& communicator) {
    M model(config, cpu::Backend(threads), distributed::buffer_granule(ranks), pages_of(settings));
    Trainer<M> trainer(model, data, {}, settings, {}, &communicator);
    trainer.initialize(1);
    const LearningRateSchedule schedule = make_schedule(settings, 2);
    trainer.step(schedule);
    trainer.step(schedule);
  };
  for (const std::string& thrown : distributed::run_thread_ranks(ranks, {.timeout_seconds = 60}, train))
    if (!thrown.empty()) return std::printf("%s\n", thrown.c_str()), false;
  const double after_training = double(peak_resident_bytes());

  const MemoryPlan plan = plan_memory<M>(config, settings, time, threads, data.train.size(), data.eval.size());
  const double measured = (after_training - before) / ranks, planned = double(plan.total());
  std::printf("%splanned %.1f MiB, measured %.1f MiB: %+.1f%%\n", plan_text(plan).c_str(), planned / (1 << 20),
              measured / (1 << 20), 100 * (measured / planned - 1));
  return std::abs(measured / planned - 1) < 0.05;
}

/// memory_plan [fp32|bf16 [RANKS]]. One precision a process: its peak is what is measured.
int main(int argc, char** argv) {
  const bool in_bf16 = argc > 1 && std::string(argv[1]) == "bf16";
  const int ranks = argc > 2 ? std::atoi(argv[2]) : 1;
  Config config = small_config;
  config.vocab_size = 8000;
  return (in_bf16 ? check<CausalLM<small_shape, cpu::Backend, Bf16>>(config, ranks)
                  : check<CausalLM<small_shape>>(config, ranks))
             ? 0
             : 1;
}
