#pragma once

#include <algorithm>
#include <array>
#include <cctype>
#include <charconv>
#include <cstdint>
#include <string>
#include <string_view>
#include <system_error>
#include <type_traits>
#include <utility>

#include <fmt/format.h>

#include "moderngpt2/backend/host.hpp"
#include "moderngpt2/core/error.hpp"
#include "moderngpt2/data/dataset.hpp"
#include "moderngpt2/distributed/communicator.hpp"
#include "moderngpt2/run/device.hpp"
#include "moderngpt2/run/memory_size.hpp"
#include "moderngpt2/run/plan.hpp"
#include "moderngpt2/run/request.hpp"
#include "moderngpt2/run/summary.hpp"
#include "moderngpt2/training/hooks.hpp"
#include "moderngpt2/training/language_modelling.hpp"
#include "moderngpt2/training/meter.hpp"
#include "moderngpt2/training/schedule.hpp"

// Plan of a whole run, and its text for --dry_run. Needs no device: a program without CUDA plans runs on GPUs too.
namespace moderngpt2::detail {

/// GPU memory in bytes that the CUDA driver and libraries use in a process, in addition to the plan: about 0.6 GiB on
/// GPUs of compute capability 8.0 and 9.0.
inline constexpr std::uint64_t cuda_context_bytes = std::uint64_t(600) << 20;

/// Memory, steps and names of a run.
struct RunPlan {
  MemoryPlan memory;
  std::int64_t steps = 0;  ///< optimizer steps that remain; 1 if the number is not known
  std::int64_t epoch_steps = 0;
  bool knows_steps = false;
  std::string run_name;  ///< see log_name()
};

/// Plans the memory of a training run for model type M.
template <class M, class Task>
MemoryPlan plan_training(const TrainingRequest& request, const PreparedRun<Task>& run, const TrainingSettings& s) {
  return plan_memory<M>(run.companions.config.config, s, run.block_size, request.threads, train_blocks(run),
                        run.data ? run.data->eval.size() : INT64_MAX,
                        run.data ? Task::Batch::sequences_of(run.data->train) : 1);
}

/// Plans a run for model type M in a run of `ranks` processes. Throws Error for a request that cannot run.
template <class M, class Task>
RunPlan plan_run(const TrainingRequest& request, const PreparedRun<Task>& run, int ranks) {
  const TrainingSettings& s = request.settings;
  const std::int64_t eval_blocks = run.data ? run.data->eval.size() : INT64_MAX;
  RunPlan plan;
  plan.memory = [&] {
    if constexpr (!is_quantized<typename M::MatrixElement>)
      if (!request.eval_only) return plan_training<M>(request, run, s);
    return plan_evaluation<M>(run.companions.config.config, s, run.block_size, request.threads, eval_blocks,
                              run.data ? Task::Batch::sequences_of(run.data->train) : 1);
  }();
  if constexpr (std::is_same_v<Task, LanguageModelling> && OnHost<typename M::Backend>)
    if (run.data) {
      const BlockDataset &train = run.data->train, &eval = run.data->eval;
      const std::uint64_t bytes = train.memory_bytes() + (eval.shares_source(train) ? 0 : eval.memory_bytes());
      if (bytes > 0) plan.memory.lines.push_back({"decoded blocks", bytes});
    }
  add_libraries(plan.memory, resident_bytes(), ranks > 1 || (run.data && !request.eval_only), ranks, s.world_size);
  plan.epoch_steps = steps_per_epoch(train_blocks(run), s.global_batch());
  plan.knows_steps = knows_last_step(request, run);
  const std::int64_t steps = plan.knows_steps ? planned_last_step(request, run) : 1;
  plan.steps = steps - first_step(run);
  (void)make_schedule(s, steps);
  plan.run_name = log_name(request, run);
  if (request.eval_only && eval_blocks == 0) throw Error("the data set has no evaluation examples");
  return plan;
}

/// Largest per_device_train_batch_size whose plan for model type M fits into `bytes` of device memory; 0: none.
template <class M, class Task>
int largest_batch(const TrainingRequest& request, const PreparedRun<Task>& run, TrainingSettings s,
                  std::uint64_t bytes) {
  constexpr int limit = 4096;
  const auto fits = [&](int batch) {
    s.per_device_train_batch_size = s.per_device_eval_batch_size = batch;
    return plan_training<M>(request, run, s).device_bytes <= bytes;
  };
  int most = 0;
  for (int step = limit; step > 0; step /= 2)
    if (most + step <= limit && fits(most + step)) most += step;
  return most;
}

/// Text that compares the plan of a run on a GPU with --gpu_memory and lists the batch sizes that fit.
template <class M, class Task>
std::string gpu_memory_text(const TrainingRequest& request, const PreparedRun<Task>& run, const MemoryPlan& plan) {
  const std::uint64_t total = parse_bytes("gpu_memory", *request.gpu_memory);
  const std::uint64_t free = total - std::min(total, cuda_context_bytes);
  std::string text = fmt::format("GPU memory: the run takes {} of {}, and CUDA about {}: {}",
                                 byte_text(plan.device_bytes), byte_text(total), byte_text(cuda_context_bytes),
                                 plan.device_bytes <= free ? "it fits" : "it does not fit");
  if (plan.device_bytes > free) text += "; use " + memory_remedy(request.settings, request.eval_only);
  if (request.eval_only) return text;
  TrainingSettings s = request.settings;
  for (const bool checkpointing : {false, true}) {
    s.gradient_checkpointing = checkpointing;
    const int batch = largest_batch<M>(request, run, s, free);
    text +=
        fmt::format("\n  {}: {}", checkpointing ? "with --gradient_checkpointing" : "without gradient checkpointing",
                    batch > 0 ? fmt::format("batches of up to {} blocks of {} tokens fit", batch, run.block_size)
                              : "no batch fits");
  }
  return text;
}

/// Text with the time that the remaining steps take at --gpu_flops.
template <class Task>
std::string gpu_time_text(const TrainingRequest& request, const PreparedRun<Task>& run, const RunPlan& plan) {
  const TrainingSettings& s = request.settings;
  const double flops =
      typename Task::template Model<>::Layers(run.companions.config.config).training_flops_per_token(run.block_size);
  const double tokens = double(plan.steps) * double(s.global_batch()) * run.block_size;
  const double seconds = flops * tokens / (*request.gpu_flops * s.world_size);
  const std::string time = seconds < 120    ? fmt::format("{:.3g} seconds", seconds)
                           : seconds < 7200 ? fmt::format("{:.3g} minutes", seconds / 60)
                                            : fmt::format("{:.3g} hours", seconds / 3600);
  return fmt::format("time: {} for {} steps at {:.3g} FLOP/s on {} GPU{}, without evaluations and checkpoints", time,
                     plan.steps, *request.gpu_flops, s.world_size, s.world_size == 1 ? "" : "s");
}

/// Prints the plan of a dry run.
template <class M, class Task>
void say_plan(const TrainingRequest& request, const PreparedRun<Task>& run, const TrainingHooks& hooks,
              const RunPlan& plan) {
  hooks.say(plan_text(plan.memory));
  if constexpr (!OnHost<typename M::Backend>) {
    if (request.gpu_memory) hooks.say(gpu_memory_text<M>(request, run, plan.memory));
    if (request.gpu_flops && plan.knows_steps && !request.eval_only) hooks.say(gpu_time_text(request, run, plan));
  }
  if (plan.knows_steps && !request.eval_only)
    hooks.say(fmt::format("disk: {} at most for the whole run",
                          byte_text(plan_disk(plan.memory, request.settings, plan.steps, 0, plan.epoch_steps))));
}

/// Prints the plan of a run with model type M on a device that this program or machine does not have.
template <class M, class Task>
int plan_without_device(const TrainingRequest& request, const PreparedRun<Task>& run, const TrainingHooks& hooks) {
  hooks.say(settings_text(request, run, M::parameter_count(run.companions.config.config), M::Backend::name));
  say_plan<M>(request, run, hooks, plan_run<M>(request, run, 1));
  return 0;
}

}  // namespace moderngpt2::detail
