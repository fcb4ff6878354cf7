#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>

#include "moderngpt2/core/separate_compilation.hpp"
#include "moderngpt2/distributed/buckets.hpp"
#include "moderngpt2/io/json.hpp"
#include "moderngpt2/training/loss_scale.hpp"
#include "moderngpt2/training/schedule.hpp"

namespace moderngpt2 {

/// How a model is trained: the flags of `train` under their own names.
struct TrainingSettings {
  std::filesystem::path output_dir = "output_dir";
  double num_train_epochs = 1;
  std::int64_t max_steps = -1;            ///< outranks num_train_epochs where positive
  std::int64_t total_train_samples = -1;  ///< blocks that count as an epoch in num_train_epochs, where positive
  int per_device_train_batch_size = 8;
  int per_device_eval_batch_size = 8;
  int gradient_accumulation_steps = 1;
  int world_size = 1;                                                   ///< processes, each with batches of its own
  int zero_stage = 1;                                                   ///< of ZeRO, 0 to 3, where there are several
  std::int64_t bucket_elements = distributed::default_bucket_elements;  ///< of what they exchange at once, about
  std::int64_t check_replicas_steps = 0;  ///< from one comparison of all weights to the next; 0: never
  std::uint64_t seed = 42;
  bool gradient_checkpointing = false;
  bool cuda_graph = false;       ///< one process with a GPU: a step is launched as one graph
  bool cudnn_attention = false;  ///< on a GPU attention by cuDNN, where it takes the call
  LossScaling loss_scaling{};    ///< of fp16

  double learning_rate = 2.5e-4;
  double weight_decay = 0.01;  ///< matrices only
  double adam_beta1 = 0.9;
  double adam_beta2 = 0.95;
  double adam_epsilon = 1e-8;
  double max_grad_norm = 1.0;  ///< 0: no clipping
  double warmup_ratio = 0.05;
  std::optional<std::int64_t> warmup_steps{};  ///< outranks warmup_ratio
  std::string lr_scheduler_type = "cosine";
  std::string lr_scheduler_kwargs{};  ///< a JSON object; empty: none

  std::int64_t logging_steps = 500;
  std::int64_t eval_steps = 500;
  std::int64_t save_steps = 5000;
  int save_total_limit = 10;
  int dataloader_num_workers = 4;  ///< 0: blocks are read by the training thread; more: by another one, a step ahead

  /// Whether each process has a part of the weights only (ZeRO stage 3).
  bool shards_weights() const { return world_size > 1 && zero_stage == 3; }
  /// Sequences of an optimizer step.
  std::int64_t global_batch() const {
    return std::int64_t(per_device_train_batch_size) * gradient_accumulation_steps * world_size;
  }
  /// Passes that are queued before the first one need be done.
  int queued_passes() const { return cuda_graph ? std::max(gradient_accumulation_steps, 2) : 2; }
};

/// Where in the data a run is: whole epochs done, and blocks of the present one. In samples and not in steps, so that a
/// run may go on with another batch.
struct DataPosition {
  std::int64_t epoch = 0;
  std::int64_t samples = 0;
};

/// Optimizer steps an epoch: the last batch may be smaller.
constexpr std::int64_t steps_per_epoch(std::int64_t blocks, std::int64_t global_batch) {
  return blocks / global_batch + (blocks % global_batch != 0);
}

/// Blocks that the first `steps` steps read.
constexpr std::int64_t samples_of_steps(std::int64_t steps, std::int64_t blocks, std::int64_t global_batch) {
  const std::int64_t epoch = steps_per_epoch(blocks, global_batch);
  return steps / epoch * blocks + std::min(steps % epoch * global_batch, blocks);
}

/// Steps from `at` until `samples` more blocks are read, rounded up.
std::int64_t steps_of_samples(std::int64_t samples, std::int64_t blocks, std::int64_t global_batch, DataPosition at);

/// The number of the last step, for a run that has done `step` steps and stands at `at`.
std::int64_t last_step(const TrainingSettings& s, std::int64_t blocks, std::int64_t step = 0, DataPosition at = {});

std::int64_t warmup_steps(const TrainingSettings& s, std::int64_t total_steps);

/// The schedule of a run of so many steps; throws an Error for bad names or arguments.
LearningRateSchedule make_schedule(const TrainingSettings& s, std::int64_t total_steps);

}  // namespace moderngpt2

#ifndef MODERNGPT2_DECLARE_RUNS

namespace moderngpt2 {

MODERNGPT2_INLINE std::int64_t steps_of_samples(std::int64_t samples, std::int64_t blocks, std::int64_t global_batch,
                                                DataPosition at) {
  const std::int64_t rest = blocks - at.samples;
  if (samples <= rest) return steps_per_epoch(std::max<std::int64_t>(samples, 0), global_batch);
  samples -= rest;
  return steps_per_epoch(rest, global_batch) + samples / blocks * steps_per_epoch(blocks, global_batch) +
         steps_per_epoch(samples % blocks, global_batch);
}

MODERNGPT2_INLINE std::int64_t last_step(const TrainingSettings& s, std::int64_t blocks, std::int64_t step,
                                         DataPosition at) {
  if (s.max_steps > 0) return s.max_steps;
  if (s.total_train_samples > 0) {
    const double planned = std::ceil(s.num_train_epochs * double(s.total_train_samples) * (1 - 1e-12));
    const std::int64_t done = at.epoch * blocks + at.samples;
    return step + steps_of_samples(std::int64_t(planned) - done, blocks, s.global_batch(), at);
  }
  const std::int64_t epoch = steps_per_epoch(blocks, s.global_batch());
  const auto planned =
      static_cast<std::int64_t>(std::ceil(s.num_train_epochs * static_cast<double>(epoch) * (1 - 1e-12)));
  const std::int64_t done = at.epoch * epoch + steps_per_epoch(at.samples, s.global_batch());
  return step + std::max<std::int64_t>(planned - done, 0);
}

MODERNGPT2_INLINE std::int64_t warmup_steps(const TrainingSettings& s, std::int64_t total_steps) {
  return s.warmup_steps.value_or(warmup_steps_of_ratio(s.warmup_ratio, total_steps));
}

MODERNGPT2_INLINE LearningRateSchedule make_schedule(const TrainingSettings& s, std::int64_t total_steps) {
  const Json kwargs =
      s.lr_scheduler_kwargs.empty() ? Json::object() : parse_json(s.lr_scheduler_kwargs, "lr_scheduler_kwargs");
  return {s.lr_scheduler_type, kwargs, s.learning_rate, warmup_steps(s, total_steps), total_steps};
}

}  // namespace moderngpt2

#endif
