#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>

#include "moderngpt2/config/field.hpp"
#include "moderngpt2/config/field_text.hpp"
#include "moderngpt2/core/error.hpp"
#include "moderngpt2/core/separate_compilation.hpp"
#include "moderngpt2/distributed/buckets.hpp"
#include "moderngpt2/io/json.hpp"
#include "moderngpt2/io/model_format.hpp"
#include "moderngpt2/training/event_settings.hpp"
#include "moderngpt2/training/loss_scale.hpp"
#include "moderngpt2/training/schedule.hpp"
#include "moderngpt2/training/transient_error_action.hpp"

namespace moderngpt2 {

/// Settings of a training run, under the names of Hugging Face's TrainingArguments. describe() below says what each
/// means, its bounds and its flag; validate() checks them. A plain value: no thread rules.
struct TrainingSettings {
  std::filesystem::path output_dir = "output_dir";
  double num_train_epochs = 1;
  std::int64_t max_steps = -1;
  std::optional<double> max_hours{};  ///< counted from Trainer::set_start()
  std::int64_t total_train_samples = -1;
  int per_device_train_batch_size = 8;
  int per_device_eval_batch_size = 8;
  int gradient_accumulation_steps = 1;
  int world_size = 1;  ///< number of ranks (processes); each computes its own part of a batch
  int zero_stage = 1;
  std::int64_t bucket_elements = distributed::default_bucket_elements;  ///< gradient bucket size, in elements
  std::int64_t check_replicas_steps = 0;
  std::uint64_t seed = 42;
  bool gradient_checkpointing = false;
  bool cuda_graph = false;
  bool cudnn_attention = false;
  LossScaling loss_scaling{};  ///< scaling of gradients in fp16

  double learning_rate = 2.5e-4;
  double weight_decay = 0.01;
  double adam_beta1 = 0.9;
  double adam_beta2 = 0.95;
  double adam_epsilon = 1e-8;
  double max_grad_norm = 1.0;  ///< 0: no clipping
  double warmup_ratio = 0.05;
  std::optional<double> warmup_steps{};  ///< overrides warmup_ratio; below 1: a fraction of all steps
  std::string lr_scheduler_type = "cosine";
  std::string lr_scheduler_kwargs{};  ///< a JSON object; empty: no arguments

  double label_smoothing_factor = 0;

  IntervalStrategy logging_strategy = IntervalStrategy::steps;
  std::optional<double> logging_steps{};  ///< see step_intervals(), also for eval_steps and save_steps
  bool logging_first_step = false;
  IntervalStrategy eval_strategy = IntervalStrategy::steps;
  std::optional<double> eval_steps{};
  double eval_delay = 0;
  bool eval_on_start = false;
  SaveStrategy save_strategy = SaveStrategy::steps;
  std::optional<double> save_steps{};
  int save_total_limit = 10;
  std::int64_t verify_steps = 0;
  TransientErrorAction on_transient_error = TransientErrorAction::stop;
  bool save_only_model = false;
  SaveFormat save_format = SaveFormat::moderngpt2;
  bool load_best_model_at_end = false;
  std::optional<std::string> metric_for_best_model{};
  std::optional<bool> greater_is_better{};
  std::optional<int> early_stopping_patience{};
  double early_stopping_threshold = 0;
  int dataloader_num_workers = 4;

  /// Whether ranks shard the weights (ZeRO stage 3).
  bool shards_weights() const { return world_size > 1 && zero_stage == 3; }
  /// Effective batch size: sequences per optimizer step, over all ranks.
  std::int64_t global_batch() const {
    return std::int64_t(per_device_train_batch_size) * gradient_accumulation_steps * world_size;
  }
  /// Maximum number of passes queued on the device before the host waits for the first.
  int queued_passes() const { return cuda_graph ? std::max(gradient_accumulation_steps, 2) : 2; }
};

/// Names each member once, in the order of --help (see config/field.hpp).
template <DescribedAs<TrainingSettings> S, class Visitor>
void describe(S& s, Visitor&& visit) {
  visit(s.dataloader_num_workers,
        {.name = "dataloader_num_workers",
         .help = "0: batches are read between steps; 1 or more: one background thread prefetches the next step's.",
         .section = "Data",
         .at_least = 0,
         .same_on_ranks = false});
  visit(s.output_dir, {.name = "output_dir",
                       .help = "Folder for checkpoints, the log and the final model.",
                       .section = "Training",
                       .in_summary = true});
  visit(s.num_train_epochs, {.name = "num_train_epochs",
                             .help = "Passes over the training data.",
                             .section = "Training",
                             .more_than = 0,
                             .in_summary = true});
  visit(s.max_steps, {.name = "max_steps",
                      .help = "Optimizer steps; if positive, overrides --num_train_epochs.",
                      .section = "Training",
                      .at_least = -1,
                      .at_most = 1e12,
                      .in_summary = true});
  visit(s.max_hours, {.name = "max_hours",
                      .help = "Time limit in hours, counted from the start of the program. A run that cannot complete "
                              "in time saves a checkpoint before the limit and exits with status 75.",
                      .section = "Training",
                      .more_than = 0,
                      .at_most = 1e6,
                      .default_text = "no limit"});
  visit(s.total_train_samples, {.name = "total_train_samples",
                                .help = "Blocks that --num_train_epochs counts as one epoch, if positive.",
                                .section = "Training",
                                .at_least = -1,
                                .at_most = 1e15,
                                .default_text = "all",
                                .in_summary = true});
  visit(s.per_device_train_batch_size, {.name = "per_device_train_batch_size",
                                        .help = "Training batch size per device, in sequences.",
                                        .section = "Training",
                                        .at_least = 1,
                                        .aliases = {"per_gpu_train_batch_size"},
                                        .in_summary = true});
  visit(s.per_device_eval_batch_size, {.name = "per_device_eval_batch_size",
                                       .help = "Evaluation batch size per device, in sequences.",
                                       .section = "Training",
                                       .at_least = 1,
                                       .aliases = {"per_gpu_eval_batch_size"}});
  visit(s.gradient_accumulation_steps, {.name = "gradient_accumulation_steps",
                                        .help = "Micro-batches accumulated per optimizer step.",
                                        .section = "Training",
                                        .at_least = 1,
                                        .in_summary = true});
  visit(s.gradient_checkpointing, {.name = "gradient_checkpointing",
                                   .help = "Recompute activations in the backward pass to save memory.",
                                   .section = "Training",
                                   .aliases = {"activation_checkpointing"},
                                   .negatable = true,
                                   .same_on_ranks = false,
                                   .in_summary = true});
  visit(s.seed, {.name = "seed",
                 .help = "Random seed for weight initialization, data order and dropout.",
                 .section = "Training",
                 .in_summary = true});
  visit(s.cuda_graph,
        {.name = "cuda_graph",
         .help = "Launch each step on a GPU as one CUDA graph. Single process; not yet measured on a GPU.",
         .section = "Training",
         .negatable = true,
         .same_on_ranks = false});
  visit(s.cudnn_attention, {.name = "cudnn_attention",
                            .help = "Use cuDNN's attention where it supports the call: bf16 or fp16, no padding, no "
                                    "dropout. Needs a build with cuDNN.",
                            .section = "Training"});
  visit(s.learning_rate, {.name = "learning_rate",
                          .help = "Peak learning rate.",
                          .section = "Optimizer",
                          .at_least = 0,
                          .in_summary = true});
  visit(s.lr_scheduler_type, {.name = "lr_scheduler_type",
                              .help = "Learning-rate schedule.",
                              .section = "Optimizer",
                              .choices = schedule_names,
                              .in_summary = true});
  visit(
      s.lr_scheduler_kwargs,
      {.name = "lr_scheduler_kwargs", .help = "Arguments of the schedule, as a JSON object.", .section = "Optimizer"});
  visit(s.warmup_ratio, {.name = "warmup_ratio",
                         .help = "Fraction of all steps used for warm-up.",
                         .section = "Optimizer",
                         .at_least = 0,
                         .at_most = 1,
                         .in_summary = true});
  visit(s.warmup_steps, {.name = "warmup_steps",
                         .help = "Warm-up steps; overrides --warmup_ratio. Below 1: a fraction of all steps.",
                         .section = "Optimizer",
                         .at_least = 0,
                         .in_summary = true});
  visit(s.weight_decay, {.name = "weight_decay",
                         .help = "Weight decay of matrices. Norms and biases do not decay.",
                         .section = "Optimizer",
                         .at_least = 0,
                         .in_summary = true});
  visit(s.adam_beta1, {.name = "adam_beta1",
                       .help = "Decay rate of the first moment.",
                       .section = "Optimizer",
                       .at_least = 0,
                       .at_most = 0.999999,
                       .in_summary = true});
  visit(s.adam_beta2, {.name = "adam_beta2",
                       .help = "Decay rate of the second moment.",
                       .section = "Optimizer",
                       .at_least = 0,
                       .at_most = 0.999999999,
                       .in_summary = true});
  visit(s.adam_epsilon, {.name = "adam_epsilon",
                         .help = "Added to the root of the second moment for numerical stability.",
                         .section = "Optimizer",
                         .more_than = 0,
                         .in_summary = true});
  visit(s.max_grad_norm, {.name = "max_grad_norm",
                          .help = "Maximum gradient norm; larger gradients are scaled down to it. 0: no clipping.",
                          .section = "Optimizer",
                          .at_least = 0,
                          .in_summary = true});
  visit(s.label_smoothing_factor,
        {.name = "label_smoothing_factor",
         .help = "Label smoothing: fraction of each label that is spread over the vocabulary, or over the classes of a "
                 "classifier. Evaluations report the loss without it.",
         .section = "Optimizer",
         .at_least = 0,
         .at_most = 1});
  detail::describe_events(s, visit);
  visit(
      s.verify_steps,
      {.name = "verify_steps",
       .help =
           "Compute every N-th optimizer step twice and compare the results bit for bit, to detect hardware errors. N "
           "> 0 also verifies each step with a loss spike or with a loss or gradient norm that is not finite. 0: off.",
       .section = "Run",
       .at_least = 0});
  visit(s.on_transient_error, {.name = "on_transient_error",
                               .help = "Reaction to a step that gives different bits when it is computed again: end "
                                       "the run with exit status 3 without saving (stop), or use the result that two "
                                       "of three computations agree on (continue; a second such step ends the run).",
                               .section = "Run"});
  visit(s.zero_stage,
        {.name = "zero_stage",
         .help = "ZeRO stage: what ranks shard. 0: nothing; 1: optimizer state and fp32 master weights; 2: "
                 "also gradients; 3: also weights.",
         .section = "Several processes",
         .at_least = 0,
         .at_most = 3,
         .in_summary = true});
  visit(s.check_replicas_steps,
        {.name = "check_replicas_steps",
         .help = "Optimizer steps between two comparisons of the weights of all ranks. 0: never.",
         .section = "Several processes",
         .at_least = 0});
  visit(s.world_size, {.name = "world_size", .at_least = 1, .same_on_ranks = false, .in_summary = true});
  visit(s.bucket_elements, {.name = "reduce_bucket_size", .at_least = 1});
  describe(s.loss_scaling, visit);
}

/// Position of a run in its data: finished epochs, and blocks read in the current epoch. Blocks, not steps, so that a
/// run can resume with another batch size.
struct DataPosition {
  std::int64_t epoch = 0;
  std::int64_t samples = 0;
};

/// Optimizer steps per epoch. The last batch may be smaller.
constexpr std::int64_t steps_per_epoch(std::int64_t blocks, std::int64_t global_batch) {
  return blocks / global_batch + (blocks % global_batch != 0);
}

/// Number of blocks that the first `steps` steps read.
constexpr std::int64_t samples_of_steps(std::int64_t steps, std::int64_t blocks, std::int64_t global_batch) {
  const std::int64_t epoch = steps_per_epoch(blocks, global_batch);
  return steps / epoch * blocks + std::min(steps % epoch * global_batch, blocks);
}

/// Number of steps from `at` until `samples` more blocks are read, rounded up.
std::int64_t steps_of_samples(std::int64_t samples, std::int64_t blocks, std::int64_t global_batch, DataPosition at);

/// Number of the last step of a run that has done `step` steps and is at `at`.
std::int64_t last_step(const TrainingSettings& s, std::int64_t blocks, std::int64_t step = 0, DataPosition at = {});

/// Number of warm-up steps: warmup_steps if it is set (below 1: a fraction of all steps), otherwise warmup_ratio of all
/// steps. Fractions of steps are rounded up.
std::int64_t warmup_steps(const TrainingSettings& s, std::int64_t total_steps);

/// Learning-rate schedule of a run of `total_steps`. Throws an Error for an unknown name or invalid arguments.
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
  const auto require_countable = [&](double planned) {
    if (!(planned < 1e18))
      throw Error("{} {} is too large: the run would have more than 1e18 steps", Setting{"num_train_epochs"},
                  s.num_train_epochs);
  };
  if (s.total_train_samples > 0) {
    const double planned = std::ceil(s.num_train_epochs * double(s.total_train_samples) * (1 - 1e-12));
    require_countable(planned);
    const std::int64_t done = at.epoch * blocks + at.samples;
    return step + steps_of_samples(std::int64_t(planned) - done, blocks, s.global_batch(), at);
  }
  const std::int64_t epoch = steps_per_epoch(blocks, s.global_batch());
  const double planned = std::ceil(s.num_train_epochs * double(epoch) * (1 - 1e-12));
  require_countable(planned);
  const std::int64_t done = at.epoch * epoch + steps_per_epoch(at.samples, s.global_batch());
  return step + std::max<std::int64_t>(std::int64_t(planned) - done, 0);
}

MODERNGPT2_INLINE std::int64_t warmup_steps(const TrainingSettings& s, std::int64_t total_steps) {
  const double steps = s.warmup_steps.value_or(0);
  if (steps >= 1) return static_cast<std::int64_t>(steps);
  return warmup_steps_of_ratio(s.warmup_steps ? steps : s.warmup_ratio, total_steps);
}

MODERNGPT2_INLINE LearningRateSchedule make_schedule(const TrainingSettings& s, std::int64_t total_steps) {
  const Json kwargs =
      s.lr_scheduler_kwargs.empty() ? Json::object() : parse_json(s.lr_scheduler_kwargs, "lr_scheduler_kwargs");
  return {s.lr_scheduler_type, kwargs, s.learning_rate, warmup_steps(s, total_steps), total_steps};
}

}  // namespace moderngpt2

#endif
