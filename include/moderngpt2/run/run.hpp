#pragma once

#include <algorithm>
#include <cstdint>
#include <optional>
#include <string>
#include <type_traits>
#include <utility>

#include <fmt/format.h>

#include "moderngpt2/backend/pass_memory.hpp"
#include "moderngpt2/config/flops.hpp"
#include "moderngpt2/core/error.hpp"
#include "moderngpt2/model/dispatch.hpp"
#include "moderngpt2/run/device.hpp"
#include "moderngpt2/run/plan.hpp"
#include "moderngpt2/run/prepare.hpp"
#include "moderngpt2/run/ranks.hpp"
#include "moderngpt2/run/report.hpp"
#include "moderngpt2/run/samples.hpp"
#include "moderngpt2/training/trainer.hpp"

namespace moderngpt2 {

/// Gives a trainer the weights that a run starts from: those of --model_path, or random ones.
template <class T>
void start_weights(T& trainer, const TrainingRequest& request, const PreparedRun& run, const TrainingHooks&) {
  if (!request.model_path) return trainer.initialize(request.settings.seed);
  const CheckpointTensors tensors(*request.model_path);
  trainer.fill(FileWeights(tensors, run.companions.config));
}

/// Does what is asked beside scores where a run is --eval_only: nothing, for blocks of text.
inline void write_predictions(const TrainingRequest&, const PreparedRun&, const LanguageModelling::Scores&) {}

/// Does what is asked on a GPU, once all is prepared: a part of a program that is compiled where CUDA is.
using RunOnGpu = int (*)(const TrainingRequest& request, const PreparedRun& run, const TrainingHooks& hooks);

namespace detail {

/// Blocks to train on; more than any run reads where no data set is named. Run: PreparedRun, or one of another task.
template <class Run>
std::int64_t train_blocks(const Run& run) {
  return run.data ? run.data->train.size() : INT64_MAX;
}

/// Whether a request says how long its run is: a dry run without data may not.
template <class Run>
bool knows_last_step(const TrainingRequest& request, const Run& run) {
  return run.data || request.settings.max_steps > 0;
}
template <class Run>
std::int64_t first_step(const Run& run) {
  return run.checkpoint ? run.checkpoint->state.step : 0;
}
template <class Run>
std::int64_t planned_last_step(const TrainingRequest& request, const Run& run) {
  const DataPosition at = run.checkpoint ? run.checkpoint->state.position : DataPosition{};
  return last_step(request.settings, train_blocks(run), first_step(run), at);
}

}  // namespace detail

/// The values that hold, in a few lines.
template <class Task = LanguageModelling, class Run>
std::string settings_text(const TrainingRequest& request, const Run& run, std::int64_t parameters,
                          const char* backend) {
  const TrainingSettings& s = request.settings;
  const Config& c = run.companions.config.config;
  const double flops = training_flops_per_token(c, run.block_size, Task::predicts_tokens);
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
  return text;
}

namespace detail {

template <class Task, class M, class Run>
int evaluate_only(const Run& run, const TrainingRequest& request, M& model, const TrainingHooks& hooks,
                  distributed::CommunicatorBase* device_ranks) {
  using Batch = typename Task::Batch;
  const auto& data = run.data->eval;
  distributed::CommunicatorBase& ranks = distributed::ranks_or_alone(request.ranks);
  std::optional<ShardedWeights<M>> sharded;
  all_or_none(ranks, "reading the weights", [&] {
    const std::filesystem::path folder = run.checkpoint ? run.checkpoint->folder : *request.model_path;
    const CheckpointTensors tensors(folder);
    const ConfigFile config = read_config(folder);
    if (!request.settings.shards_weights()) return load_weights(model, tensors, config);
    const distributed::Layout layout = layout_of(model, request.settings, ranks.size());
    sharded.emplace(model, ranks, distributed::ranks_of_memory<typename M::Backend>(ranks, device_ranks), layout);
    fill(model, MasterWeights<M>(), layout.shard(ranks.rank()), FileWeights(tensors, config));
  });
  const int batch_size = int(std::min<std::int64_t>(request.settings.per_device_eval_batch_size, data.size()));
  const int sequences = batch_size * Batch::sequences_of(data);
  reserve<typename M::T>(model.backend(), model.config(), model.layers().pass_size(sequences, data.block_size()));
  auto work = model.workspace(sequences, data.block_size(), Mode::infer);
  Batch batch(data, batch_size, model.config());
  typename Task::Scores scores(data, model.config());
  const auto result = evaluate(
      model, work, batch, data, batch_size, scores,
      [&](std::int64_t done) {
        if (hooks.on_evaluation) hooks.on_evaluation(done, data.size());
        return !hooks.stop || hooks.stop() == 0;
      },
      &ranks);
  if (!result) return 128 + int(agree_on_largest(ranks, hooks.stop ? hooks.stop() : 0, "the signal that stopped"));
  hooks.say(fmt::format("evaluation {}, over {} labels", result->text(), result->labels));
  all_or_none(ranks, "writing the predictions", [&] {
    if (ranks.rank() == 0) write_predictions(request, run, scores);
  });
  return 0;
}

/// The run's log for TensorBoard lies in a folder of this name; empty: there is none.
template <class Run>
std::string log_name(const TrainingRequest& request, const Run& run) {
  if (request.report.to == ReportTo::none) return "";
  if (run.checkpoint && request.report.run_name.empty() && !run.checkpoint->state.run_name.empty())
    return run.checkpoint->state.run_name;
  const bool is_other = !request.model_size_name && (request.config_file || request.model_path);
  return report_name(request.report, is_other ? "custom" : request.model_size_name.value_or("small"));
}

template <class Task, class M, class Run>
int train_model(const Run& run, const TrainingRequest& request, M& model, const TrainingHooks& hooks,
                const MemoryPlan& plan, const std::string& run_name, distributed::CommunicatorBase* device_ranks) {
  const TrainingSettings& s = request.settings;
  const std::int64_t step = first_step(run);
  distributed::CommunicatorBase& ranks = distributed::ranks_or_alone(request.ranks);
  const bool is_first = ranks.rank() == 0;
  TrainingHooks with = hooks;
  std::optional<TensorBoardReport> board;
  std::optional<SampleLog> samples;
  const bool has_board = is_first && !run_name.empty(), has_samples = is_first && !request.samples.prompts.empty();
  if (has_board)
    with.on_log = [&](const Json& line) {
      board->add(line);
      if (hooks.on_log) hooks.on_log(line);
    };
  if constexpr (std::is_same_v<Task, LanguageModelling>)
    if (has_samples)
      with.on_samples = [&](std::int64_t at) {
        samples->write(model, at, hooks.say);
        if (hooks.on_samples) hooks.on_samples(at);
      };
  std::optional<Trainer<M, Task>> made;
  all_or_none(ranks, "reading the weights", [&] {
    Trainer<M, Task>& trainer = made.emplace(model, *run.data, run.companions, s, with, &ranks, device_ranks);
    if (run.checkpoint)
      trainer.resume(*run.checkpoint);
    else
      start_weights(trainer, request, run, hooks);
  });
  all_or_none(ranks, "opening the logs", [&] {
    if (has_board) board.emplace(request.report, s.output_dir, run_name, step, hooks.say);
    if constexpr (std::is_same_v<Task, LanguageModelling>)
      if (has_samples)
        samples.emplace(s.output_dir, step, request.samples, *run.tokenizer, model.config(),
                        run.companions.generation->eos_token_ids, s.seed);
  });
  if (hooks.on_start)
    hooks.on_start({s.output_dir,
                    settings_text<Task>(request, run, M::parameter_count(model.config()), M::Backend::name),
                    plan_text(plan), config_to_json(run.companions.config)});
  Trainer<M, Task>& trainer = *made;
  if (!run_name.empty()) trainer.set_run_name(run_name);
  if constexpr (std::is_same_v<typename M::Backend, cpu::Backend>) {
    const double rate = measure_matmul<typename M::T>(model.backend());
    hooks.say(
        fmt::format("speed: a matrix product alone does {:.1f} GFLOP/s here, now; matmul_utilization is the part "
                    "of it that training reaches",
                    rate / 1e9));
    trainer.set_matmul_rate(rate * ranks.size());
  }
  const int signal = trainer.run();
  const std::int64_t peak = agree_on_largest(ranks, std::int64_t(peak_resident_bytes()), "memory");
  if (peak > 0)
    hooks.say(fmt::format("memory: {} planned, {} in RAM at most{}", byte_text(plan.total()),
                          byte_text(std::uint64_t(peak)), ranks.size() > 1 ? ", of all processes" : ""));
  if (board) board->finish();
  return signal ? 128 + signal : 0;
}

/// Does what is asked with a model of type M, once all is prepared. Task and Run are for language models what the
/// defaults say; run_task() has others.
template <class M, class Task = LanguageModelling, class Run = PreparedRun>
int run_model(const TrainingRequest& request, const Run& run, const TrainingHooks& hooks) {
  const Config& config = run.companions.config.config;
  const TrainingSettings& s = request.settings;
  distributed::CommunicatorBase& ranks = distributed::ranks_or_alone(request.ranks);
  hooks.say(settings_text<Task>(request, run, M::parameter_count(config), M::Backend::name));
  const std::int64_t eval_blocks = run.data ? run.data->eval.size() : INT64_MAX;
  const int sequences = run.data ? Task::Batch::sequences_of(run.data->train) : 1;
  const bool known = knows_last_step(request, run);
  MemoryPlan plan;
  std::int64_t to_do = 0;
  std::string run_name;
  all_or_none(ranks, "planning the run", [&] {
    plan = request.eval_only
               ? plan_evaluation<M>(config, s, run.block_size, request.threads, eval_blocks, sequences)
               : plan_memory<M>(config, s, run.block_size, request.threads, train_blocks(run), eval_blocks, sequences);
    add_libraries(plan, resident_bytes(), ranks.size(), s.world_size);
    const std::int64_t steps = known ? planned_last_step(request, run) : 1;
    to_do = steps - first_step(run);
    (void)make_schedule(s, steps);
    run_name = log_name(request, run);
    if (request.eval_only && eval_blocks == 0) throw Error("the data set has nothing to evaluate on");
  });
  if (request.dry_run) {
    hooks.say(plan_text(plan));
    if constexpr (!OnHost<typename M::Backend>) {
      try {
        hooks.say(device_memory_text(make_backend<typename M::Backend>(request, ranks), plan));
      } catch (const Error& error) {
        hooks.say(fmt::format("note: {}", error.what()));  // the plan holds without a GPU
      }
    }
    if (known && !request.eval_only)
      hooks.say(fmt::format("disk: {} at most for the whole run", byte_text(plan_disk(plan, s, to_do))));
    return 0;
  }
  std::optional<OutputFolder> output;
  std::optional<M> made;
  all_or_none(ranks, "making the model", [&] {
    if (!request.eval_only && ranks.rank() == 0) {
      const auto older = find_checkpoints(s.output_dir, [](const std::string&) {});
      output.emplace(s.output_dir, plan_disk(plan, s, to_do, std::int64_t(older.size())));
      if (!run.checkpoint && !older.empty())
        hooks.say(fmt::format("note: {} is of an earlier run, which --resume_from_checkpoint latest would go on with",
                              older.front().folder.string()));
    }
    auto backend = make_backend<typename M::Backend>(request, ranks);
    if constexpr (!OnHost<typename M::Backend>)
      hooks.say(device_memory_text(backend, plan, memory_remedy(s, request.eval_only)));
    made.emplace(config, std::move(backend), distributed::buffer_granule(ranks.size()), pages_of(s));
  });
  M& model = *made;
  // To evaluate whole weights nothing is exchanged by GPUs.
  std::optional<distributed::DeviceRanks<typename M::Backend>> device;
  if (!request.eval_only || s.shards_weights()) device.emplace(model.backend(), ranks);
  distributed::CommunicatorBase* const device_ranks = device ? device->get() : nullptr;
  if (request.eval_only) return evaluate_only<Task>(run, request, model, hooks, device_ranks);
  return train_model<Task>(run, request, model, hooks, plan, run_name, device_ranks);
}

/// Says what a precision means on this machine. Throws a UsageError for one that it does not have; a dry run tells what
/// the nearest one takes.
template <class Say>
void check_precision(const TrainingRequest& request, Say&& say) {
  const PrecisionName name = request.precision;
  if (request.gpu) return;
  if (needs_gpu(name)) {
    if (!request.dry_run) throw no_such_precision(name);
    say(fmt::format("note: {} needs --device cuda; this is the plan of {} on the CPU", precision_name(name),
                    precision_name(cpu_precision(name))));
  } else if (name == PrecisionName::bf16 && !cpu::has_bf16_products()) {
    say(fmt::format("note: {}", cpu::slow_bf16_note));
  }
}

/// Throws a UsageError where no step can be a graph; a dry run without a GPU tells the plan without one.
template <class Say>
void check_cuda_graph(const TrainingRequest& request, Say&& say) {
  if (!request.settings.cuda_graph) return;
  if (request.settings.world_size > 1)
    throw UsageError("--cuda_graph is for one process: several exchange gradients within a step");
  if (request.eval_only) throw UsageError("--cuda_graph is for training: --eval_only has no steps");
  if (request.gpu) return;
  if (!request.dry_run) throw UsageError("--cuda_graph needs --device cuda");
  say("note: --cuda_graph needs --device cuda; this is the plan of the CPU");
}

template <class Say>
void check_request(const TrainingRequest& request, bool has_gpu, Say&& say) {
  if (request.gpu && !has_gpu) throw UsageError("this program trains on the CPU only");
  if (request.eval_only && !request.model_path && !request.resume_from_checkpoint)
    throw UsageError("--eval_only needs --model_path or --resume_from_checkpoint");
  check_cuda_graph(request, say);
  check_precision(request, say);
}

inline int run_prepared(const TrainingRequest& request, const PreparedRun& run, const TrainingHooks& hooks,
                        distributed::CommunicatorBase& ranks, RunOnGpu run_on_gpu) {
  if (request.eval_only && !request.model_path && !run.checkpoint)
    fail_together(ranks, Error("there is nothing to evaluate: give --model_path"));
  if (request.gpu) return run_on_gpu(request, run, hooks);
  if (cpu_precision(request.precision) == PrecisionName::bf16) return run_model<CausalLMInBf16>(request, run, hooks);
  return with_causal_lm(run.companions.config.config,
                        [&]<class M>(std::type_identity<M>) { return run_model<M>(request, run, hooks); });
}

}  // namespace detail

/// Does what `train` was asked for. Returns the exit status: 0, or 128 plus the signal that stopped the run, the same
/// in all processes; and 1 or 2 where several of them failed and one said why, through `hooks.complain`. `hooks.say`
/// must be given, and `run_on_gpu` where the request names a GPU.
inline int run_training(const TrainingRequest& request, const TrainingHooks& all_hooks, RunOnGpu run_on_gpu = nullptr) {
  distributed::CommunicatorBase& ranks = distributed::ranks_or_alone(request.ranks);
  const TrainingHooks hooks = hooks_of_rank(all_hooks, ranks);
  return status_on_ranks(ranks, all_hooks, [&] {
    try {
      all_or_none(ranks, "checking the request",
                  [&] { detail::check_request(request, run_on_gpu != nullptr, hooks.say); });
      const PreparedRun run =
          prepare_on_ranks(request, ranks, [&](const TrainingRequest& own) { return prepare_run(own, hooks); });
      return detail::run_prepared(request, run, hooks, ranks, run_on_gpu);
    } catch (const PackingStopped& stopped) {
      hooks.say("packing was stopped: the same command goes on with it");
      return 128 + stopped.signal;
    }
  });
}

}  // namespace moderngpt2
