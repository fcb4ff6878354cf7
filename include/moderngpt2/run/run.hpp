#pragma once

#include <algorithm>
#include <cstdint>
#include <optional>
#include <string>
#include <type_traits>
#include <utility>

#include <fmt/format.h>

#include "moderngpt2/backend/pass_memory.hpp"
#include "moderngpt2/core/error.hpp"
#include "moderngpt2/core/stop.hpp"
#include "moderngpt2/io/file.hpp"
#include "moderngpt2/model/dispatch.hpp"
#include "moderngpt2/run/check_request.hpp"
#include "moderngpt2/run/device.hpp"
#include "moderngpt2/run/plan.hpp"
#include "moderngpt2/run/prepare.hpp"
#include "moderngpt2/run/prepare_task.hpp"
#include "moderngpt2/run/quantized_evaluation.hpp"
#include "moderngpt2/run/ranks.hpp"
#include "moderngpt2/run/report.hpp"
#include "moderngpt2/run/request.hpp"
#include "moderngpt2/run/resume_changes.hpp"
#include "moderngpt2/run/run_plan.hpp"
#include "moderngpt2/run/samples.hpp"
#include "moderngpt2/run/summary.hpp"
#include "moderngpt2/training/checkpoint/output_folder.hpp"
#include "moderngpt2/training/time_limit.hpp"
#include "moderngpt2/training/trainer.hpp"

namespace moderngpt2 {

/// Function that runs a prepared request on a GPU and returns the exit status. Programs pass it in, so that only they
/// contain CUDA code.
template <class Task>
using RunOnGpu = int (*)(const TrainingRequest& request, const PreparedRun<Task>& run, const TrainingHooks& hooks);

namespace detail {

/// Loads the weights of request.model_path, or initializes them randomly. If that model has another head, loads its
/// transformer and initializes the task's head.
template <class Task, class T>
void start_weights(T& trainer, const TrainingRequest& request, const PreparedRun<Task>& run,
                   const TrainingHooks& hooks) {
  if (!request.model_path) return trainer.initialize(request.settings.seed);
  const CheckpointTensors tensors(*request.model_path);
  for (const std::string& line : tensors.notes()) hooks.say("note: " + line);
  if constexpr (std::is_same_v<Task, LanguageModelling>) {
    trainer.fill(FileWeights(tensors, run.companions.config));
  } else {
    const ConfigFile there = read_config(*request.model_path);
    if (there.architecture == run.companions.config.architecture) return trainer.fill(FileWeights(tensors, there));
    TransferredWeights weights(tensors, there, run.companions.config.config, request.settings.seed);
    trainer.fill(weights);
    hooks.say(fmt::format("{} is a {}: {}", request.model_path->string(), there.architecture, weights.shared().text()));
  }
}

/// Writes one line of JSON per example (Scores::prediction()).
template <class Scores>
void write_predictions(const std::filesystem::path& path, const Scores& scores) {
  AtomicFile file(path);
  for (std::int64_t i = 0; i < scores.size(); ++i)
    file.write(scores.prediction(i).dump(-1, ' ', false, Json::error_handler_t::replace) + "\n");
  file.commit();
}

/// Evaluates the model on the evaluation set and prints loss and scores. Returns the exit status: stop_status().
/// `device_ranks`: communicator of the GPUs, null on a CPU.
template <class Task, class M>
int evaluate_only(const PreparedRun<Task>& run, const TrainingRequest& request, M& model, const TrainingHooks& hooks,
                  distributed::CommunicatorBase* device_ranks) {
  using Batch = typename Task::Batch;
  const auto& data = run.data->eval;
  distributed::CommunicatorBase& ranks = distributed::ranks_or_single(request.ranks);
  std::optional<ShardedWeights<M>> sharded;
  run_or_fail_together(ranks, "reading the weights", [&] {
    const std::filesystem::path folder = run.checkpoint ? run.checkpoint->folder : *request.model_path;
    const CheckpointTensors tensors(folder);
    for (const std::string& line : tensors.notes()) hooks.say("note: " + line);
    const ConfigFile config = read_config(folder);
    if (!request.settings.shards_weights()) return load_weights(model, tensors, config);
    const distributed::Layout layout = layout_of(model, request.settings, ranks.size());
    sharded.emplace(model, ranks, distributed::ranks_for_memory_of<typename M::Backend>(ranks, device_ranks), layout);
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
        if (hooks.on_evaluation_progress) hooks.on_evaluation_progress(done, data.size());
        return !hooks.stop || hooks.stop() == 0;
      },
      &ranks);
  if (!result) return stop_status(int(max_over_ranks(ranks, hooks.stop ? hooks.stop() : 0, "the signal that stopped")));
  std::int64_t unlabelled = 0;
  if constexpr (requires { data.store().labelled; }) unlabelled = data.store().labelled.missing();
  if (unlabelled > 0)
    hooks.say(
        fmt::format("{} rows have no label: predictions are written, loss and scores are not computed", unlabelled));
  else
    hooks.say(fmt::format("evaluation {}, over {} labels", result->text(), result->labels));
  if constexpr (!std::is_same_v<Task, LanguageModelling>)
    run_or_fail_together(ranks, "writing the predictions", [&] {
      if (ranks.rank() == 0 && request.predictions_file) write_predictions(*request.predictions_file, scores);
    });
  return 0;
}

/// Trains the model to its last step. Returns the exit status: stop_status(). `run_name`: see
/// log_name(). `device_ranks`: communicator of the GPUs, null on a CPU.
template <class Task, class M>
int train_model(const PreparedRun<Task>& run, const TrainingRequest& request, M& model, const TrainingHooks& hooks,
                const MemoryPlan& plan, const std::string& run_name, distributed::CommunicatorBase* device_ranks) {
  const TrainingSettings& s = request.settings;
  const std::int64_t step = first_step(run);
  distributed::CommunicatorBase& ranks = distributed::ranks_or_single(request.ranks);
  const bool is_first = ranks.rank() == 0;
  TrainingHooks with = hooks;
  std::optional<TensorBoardReport> board;
  std::optional<SampleLog> samples;
  const bool has_board = is_first && !run_name.empty();
  const bool has_samples = is_first && run.tokenizer && !request.samples.prompts.empty();
  if (has_board)
    with.on_log = [&](const Json& line, TrainingControl& control) {
      board->add(line);
      if (hooks.on_log) hooks.on_log(line, control);
    };
  if constexpr (std::is_same_v<Task, LanguageModelling>)
    if (has_samples)
      with.on_samples = [&](std::int64_t at) {
        samples->write(model, at, hooks.say);
        if (hooks.on_samples) hooks.on_samples(at);
      };
  std::optional<Trainer<M, Task>> made;
  run_or_fail_together(ranks, "reading the weights", [&] {
    Trainer<M, Task>& trainer = made.emplace(model, *run.data, run.companions, s, with, &ranks, device_ranks);
    if (run.checkpoint)
      trainer.resume(*run.checkpoint);
    else
      start_weights(trainer, request, run, hooks);
  });
  run_or_fail_together(ranks, "opening the logs", [&] {
    if (has_board) board.emplace(request.report, s.output_dir, run_name, step, hooks.say);
    if constexpr (std::is_same_v<Task, LanguageModelling>)
      if (has_samples)
        samples.emplace(s.output_dir, step, request.samples, *run.tokenizer, model.config(),
                        run.companions.generation->eos_token_ids, s.seed);
  });
  if (hooks.on_start)
    hooks.on_start({s.output_dir, settings_text(request, run, M::parameter_count(model.config()), M::Backend::name),
                    plan_text(plan), config_to_json(run.companions.config)});
  Trainer<M, Task>& trainer = *made;
  if (!run_name.empty()) trainer.set_run_name(run_name);
  trainer.set_origin(run.origin);
  if constexpr (std::is_same_v<typename M::Backend, cpu::Backend>) {
    const auto measure = [&model, &ranks] { return measure_matmul<typename M::T>(model.backend()) * ranks.size(); };
    const double rate = measure();
    hooks.say(
        fmt::format("speed: a matrix product alone runs at {:.1f} GFLOP/s; MFU is the fraction of this speed, "
                    "measured at the start, that training reaches",
                    rate / ranks.size() / 1e9));
    trainer.set_matmul_rate({rate, measure});
  }
  trainer.set_start(request.start);
  const int reason = trainer.run();
  const std::int64_t peak = max_over_ranks(ranks, std::int64_t(peak_resident_bytes()), "memory");
  if (peak > 0)
    hooks.say(fmt::format("memory: {} planned, {} in RAM at most{}", byte_text(plan.total()),
                          byte_text(std::uint64_t(peak)), ranks.size() > 1 ? " in any process" : ""));
  if (board) board->finish();
  return stop_status(reason);
}

/// Runs training, evaluation or a dry run with model type M. Returns the exit status.
template <class M, class Task>
int run_model(const TrainingRequest& request, const PreparedRun<Task>& run, const TrainingHooks& hooks) {
  const Config& config = run.companions.config.config;
  const TrainingSettings& s = request.settings;
  distributed::CommunicatorBase& ranks = distributed::ranks_or_single(request.ranks);
  hooks.say(settings_text(request, run, M::parameter_count(config), M::Backend::name));
  RunPlan plan;
  run_or_fail_together(ranks, "planning the run", [&] { plan = plan_run<M>(request, run, ranks.size()); });
  if (run.checkpoint && plan.knows_steps && !request.eval_only)
    for (const std::string& line : resume_changes(run.checkpoint->state, s, run.origin, first_step(run) + plan.steps))
      hooks.say(line);
  if (request.dry_run) {
    say_plan<M>(request, run, hooks, plan);
    if constexpr (!OnHost<typename M::Backend>) {
      try {
        hooks.say(device_memory_text(make_backend<typename M::Backend>(request, ranks), plan.memory));
      } catch (const Error& error) {
        hooks.say(fmt::format("note: {}", error.what()));  // the plan holds without a GPU
      }
    }
    return 0;
  }
  std::optional<OutputFolder> output;
  std::optional<M> made;
  run_or_fail_together(ranks, "making the model", [&] {
    if (!request.eval_only && ranks.rank() == 0) {
      const auto older = find_checkpoints(s.output_dir, [](const std::string&) {});
      output.emplace(s.output_dir, plan_disk(plan.memory, s, plan.steps, std::int64_t(older.size()), plan.epoch_steps));
      if (!run.checkpoint && !older.empty())
        hooks.say(fmt::format("note: {} belongs to an earlier run; --resume_from_checkpoint latest would continue it",
                              older.front().folder.string()));
    }
    auto backend = make_backend<typename M::Backend>(request, ranks);
    if constexpr (!OnHost<typename M::Backend>)
      hooks.say(device_memory_text(backend, plan.memory, memory_remedy(s, request.eval_only)));
    made.emplace(config, std::move(backend), distributed::buffer_granule(ranks.size()), pages_of(s));
  });
  M& model = *made;
  // Evaluation with whole weights needs no communication between GPUs.
  std::optional<distributed::DeviceRanks<typename M::Backend>> device;
  if (!request.eval_only || s.shards_weights()) device.emplace(model.backend(), ranks);
  distributed::CommunicatorBase* const device_ranks = device ? device->get() : nullptr;
  if (request.eval_only) return evaluate_only(run, request, model, hooks, device_ranks);
  return train_model(run, request, model, hooks, plan.memory, plan.run_name, device_ranks);
}

/// Selects the model type by device, precision and config, and calls run_model() or `run_on_gpu`.
template <class Task>
int run_prepared(const TrainingRequest& request, const PreparedRun<Task>& run, const TrainingHooks& hooks,
                 RunOnGpu<Task> run_on_gpu) {
  if (request.gpu) return run_on_gpu(request, run, hooks);
  if constexpr (std::is_same_v<Task, LanguageModelling>)
    if (request.weights) return evaluate_quantized(request, run, hooks);
  if (cpu_precision(request.precision) == PrecisionName::bf16)
    return run_model<typename Task::template Model<cpu::Backend, Bf16>>(request, run, hooks);
  if constexpr (std::is_same_v<Task, LanguageModelling>)
    return with_causal_lm(run.companions.config.config,
                          [&]<class M>(std::type_identity<M>) { return run_model<M>(request, run, hooks); });
  else
    return run_model<typename Task::template Model<>>(request, run, hooks);
}

template <class Task>
PreparedRun<Task> prepare(const TrainingRequest& request, const TrainingHooks& hooks) {
  if constexpr (std::is_same_v<Task, LanguageModelling>)
    return prepare_run(request, hooks);
  else
    return prepare_task_run<Task>(request, hooks.say);
}

}  // namespace detail

/// Trains, evaluates or plans as `request` says; the whole of the program `train` after its command line. Task:
/// LanguageModelling or a task of training/tasks/. Returns the exit status, equal on all ranks: 0; stop_status() of a
/// signal or of max_hours; 1 or 2 if all ranks failed and one reported why through `hooks.complain`. Requires
/// `hooks.say`, and `run_on_gpu` if the request names a GPU. Throws Error or UsageError in a single process.
template <class Task = LanguageModelling>
int run_training(const TrainingRequest& request, const TrainingHooks& all_hooks,
                 std::type_identity_t<RunOnGpu<Task>> run_on_gpu = nullptr) {
  constexpr bool is_classifier = !std::is_same_v<Task, LanguageModelling>;
  distributed::CommunicatorBase& ranks = distributed::ranks_or_single(request.ranks);
  const TrainingHooks hooks = hooks_of_rank(all_hooks, ranks);
  return status_on_ranks(ranks, all_hooks, [&] {
    try {
      run_or_fail_together(ranks, "checking the request",
                           [&] { detail::check_request(request, is_classifier, run_on_gpu != nullptr, hooks.say); });
      TrainingHooks preparing = hooks;
      preparing.stop = [&hooks, limit = TimeLimit(request.settings.max_hours, request.start)] {
        const int signal = hooks.stop ? hooks.stop() : 0;
        return signal == 0 && limit.is_over({.saves = 0}) ? time_limit_reached : signal;
      };
      PreparedRun<Task> run = prepare_on_ranks(
          request, ranks, [&](const TrainingRequest& own) { return detail::prepare<Task>(own, preparing); });
      run_or_fail_together(ranks, "comparing the data with the checkpoint's", [&] {
        if (request.eval_only) return;
        run.origin = detail::origin_of(request, run);
        if (run.checkpoint) detail::require_same_data(*run.checkpoint, run.origin, detail::train_blocks(run));
      });
      if (request.eval_only && !request.model_path && !run.checkpoint)
        fail_together(ranks, Error("there is nothing to evaluate: give --model_path"));
      return detail::run_prepared(request, run, hooks, run_on_gpu);
    } catch (const PackingStopped& stopped) {
      hooks.say("packing was stopped: run the same command again to continue");
      return stop_status(stopped.reason);
    }
  });
}

}  // namespace moderngpt2
