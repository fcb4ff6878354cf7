#pragma once

#include <cstdint>
#include <string>
#include <type_traits>

#include <fmt/format.h>

#include "moderngpt2/run/report.hpp"
#include "moderngpt2/run/request.hpp"
#include "moderngpt2/run/request_fields.hpp"
#include "moderngpt2/training/event_schedule.hpp"
#include "moderngpt2/training/settings.hpp"

// Length and summary of a prepared run.
namespace moderngpt2 {

namespace detail {

/// Returns the size of the training set in blocks or examples; INT64_MAX in a dry run without data.
template <class Task>
std::int64_t train_blocks(const PreparedRun<Task>& run) {
  return run.data ? run.data->train.size() : INT64_MAX;
}

/// Whether the number of steps is known: not in a dry run without data and max_steps.
template <class Task>
bool knows_last_step(const TrainingRequest& request, const PreparedRun<Task>& run) {
  return run.data || request.settings.max_steps > 0;
}
/// Returns the step of the checkpoint to resume from; 0 for a new run.
template <class Task>
std::int64_t first_step(const PreparedRun<Task>& run) {
  return run.checkpoint ? run.checkpoint->state.step : 0;
}
/// Returns the number of the run's last step.
template <class Task>
std::int64_t planned_last_step(const TrainingRequest& request, const PreparedRun<Task>& run) {
  const DataPosition at = run.checkpoint ? run.checkpoint->state.position : DataPosition{};
  return last_step(request.settings, train_blocks(run), first_step(run), at);
}

/// Returns the name of the TensorBoard log's folder in OUTPUT_DIR/runs; empty: no log.
template <class Task>
std::string log_name(const TrainingRequest& request, const PreparedRun<Task>& run) {
  if (request.report.to == ReportTo::none) return "";
  if (run.checkpoint && request.report.run_name.empty() && !run.checkpoint->state.run_name.empty())
    return run.checkpoint->state.run_name;
  const bool is_other = !request.model_size_name && (request.config_file || request.model_path);
  return report_name(request.report, is_other ? "custom" : request.model_size_name.value_or("small"));
}

}  // namespace detail

/// Returns a summary of model, data, batch, schedule and optimizer in about ten lines. `parameters`: size of the model.
/// `backend`: name of the device.
template <class Task>
std::string settings_text(const TrainingRequest& request, const PreparedRun<Task>& run, std::int64_t parameters,
                          const char* backend) {
  const TrainingSettings& s = request.settings;
  const Config& c = run.companions.config.config;
  const double flops = typename Task::template Model<>::Layers(c).training_flops_per_token(run.block_size);
  std::string text = fmt::format(
      "model: {} parameters, {} layers, n_embd {}, {} heads ({} kv) of {}, intermediate {}, {}, vocabulary {}, "
      "positions "
      "{}, dropout {}/{}/{}\n",
      parameters, c.n_layer, c.n_embd, c.n_head, c.n_kv_head, c.head_dim, c.n_inner, activation_name(c.activation),
      c.vocab_size, c.n_positions, c.resid_pdrop, c.embd_pdrop, c.attn_pdrop);
  if (run.data) {
    const bool same_length = std::is_same_v<Task, LanguageModelling>;
    text += fmt::format("data: {} {} of {}{} tokens to train on, {} to evaluate\n", run.data->train.size(),
                        Task::examples, same_length ? "" : "at most ", run.block_size, run.data->eval.size());
  }
  const std::string processes = s.world_size > 1 ? fmt::format(" x {} processes", s.world_size) : "";
  text += fmt::format("batch: {} x {} accumulated{} = {} sequences, {} tokens\n", s.per_device_train_batch_size,
                      s.gradient_accumulation_steps, processes, s.global_batch(), s.global_batch() * run.block_size);
  if (s.world_size > 1) text += fmt::format("processes: {}, ZeRO stage {}\n", s.world_size, s.zero_stage);
  if (request.eval_only) return text;
  if (detail::knows_last_step(request, run)) {
    const std::int64_t blocks = detail::train_blocks(run), steps = detail::planned_last_step(request, run);
    const double epochs = double(steps) / double(steps_per_epoch(blocks, s.global_batch()));
    const double samples =
        run.data ? double(samples_of_steps(steps, blocks, s.global_batch())) : double(steps) * double(s.global_batch());
    const double tokens = samples * run.block_size;
    text += fmt::format("steps: {}", steps);
    if (run.data) text += fmt::format(" ({:.4g} epochs of {})", epochs, steps_per_epoch(blocks, s.global_batch()));
    text += fmt::format(", {:.4g} tokens, {:.3g} FLOPs a token, {:.3g} FLOPs in all\n", tokens, flops, flops * tokens);
    text += fmt::format("schedule: {}, learning rate {}, {} steps of warm-up\n", s.lr_scheduler_type, s.learning_rate,
                        warmup_steps(s, steps));
    text += fmt::format("events: {}\n", events_text(s, step_intervals(s, steps)));
  } else {
    text += fmt::format("schedule: {}, learning rate {}; {:.3g} FLOPs a token\n", s.lr_scheduler_type, s.learning_rate,
                        flops);
  }
  text += fmt::format(
      "optimizer: AdamW, betas {} and {}, epsilon {}, weight decay {} on matrices, gradient norm at most {}\n",
      s.adam_beta1, s.adam_beta2, s.adam_epsilon, s.weight_decay, s.max_grad_norm);
  text += fmt::format("run: {} on {} with {} threads, seed {}, gradient checkpointing {}, output {}\n",
                      precision_name(request.precision), backend, request.threads, s.seed,
                      s.gradient_checkpointing ? "on" : "off", s.output_dir.string());
  if (request.precision == PrecisionName::fp16)
    text += fmt::format("loss scale: {}\n", loss_scaling_text(s.loss_scaling));
  if (const std::string other = other_settings(s); !other.empty()) text += fmt::format("other settings: {}\n", other);
  return text;
}

}  // namespace moderngpt2
