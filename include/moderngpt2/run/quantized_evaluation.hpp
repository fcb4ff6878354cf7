#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include <fmt/format.h>

#include "moderngpt2/backend/cpu.hpp"
#include "moderngpt2/config/precision.hpp"
#include "moderngpt2/core/separate_compilation.hpp"
#include "moderngpt2/core/stop.hpp"
#include "moderngpt2/distributed/agreement.hpp"
#include "moderngpt2/io/model_files.hpp"
#include "moderngpt2/model/dispatch.hpp"
#include "moderngpt2/run/plan.hpp"
#include "moderngpt2/run/ranks.hpp"
#include "moderngpt2/run/report.hpp"
#include "moderngpt2/run/request.hpp"
#include "moderngpt2/run/run_plan.hpp"
#include "moderngpt2/run/summary.hpp"
#include "moderngpt2/tokenizer/token_bytes.hpp"
#include "moderngpt2/training/batch.hpp"
#include "moderngpt2/training/evaluation.hpp"
#include "moderngpt2/training/hooks.hpp"
#include "moderngpt2/training/language_modelling.hpp"

namespace moderngpt2::detail {

/// Bytes of text that the labels of a data set stand for: those of their tokens, none for special tokens. `bytes_of`:
/// bytes of a token's text.
std::int64_t bytes_of_labels(const BlockDataset& data, const Config& config, const std::function<int(int)>& bytes_of);

/// Evaluates a language model with quantized matrices (request.weights) and in bf16, one after the other, on a CPU.
/// Prints both losses and, if the run has a tokenizer, the bits per byte of text. Returns the exit status.
int evaluate_quantized(const TrainingRequest& request, const PreparedRun<>& run, const TrainingHooks& hooks);

}  // namespace moderngpt2::detail

#ifndef MODERNGPT2_DECLARE_RUNS

namespace moderngpt2::detail {

MODERNGPT2_INLINE std::int64_t bytes_of_labels(const BlockDataset& data, const Config& config,
                                               const std::function<int(int)>& bytes_of) {
  std::vector<int> lengths;
  for (int id = 0; id < config.vocab_size; ++id) lengths.push_back(bytes_of(id));
  TokenBatch batch(data, 1, config);
  std::int64_t bytes = 0;
  for (std::int64_t i = 0; i < data.size(); ++i) {
    batch.load(data, 1, [&](std::int64_t) { return i; });
    for (int t = 1; t < batch.time(); ++t)
      if (const int label = batch.labels(0)[t]; label != ignored_label) bytes += lengths[std::size_t(label)];
  }
  return bytes;
}

/// Evaluation with model type M; empty if it was stopped.
template <class M>
std::optional<Evaluation> evaluate_weights(const TrainingRequest& request, const PreparedRun<>& run,
                                           const TrainingHooks& hooks) {
  const BlockDataset& data = run.data->eval;
  distributed::CommunicatorBase& ranks = distributed::ranks_or_single(request.ranks);
  std::optional<M> made;
  run_or_fail_together(ranks, "reading the weights", [&] {
    const std::filesystem::path folder = run.checkpoint ? run.checkpoint->folder : *request.model_path;
    made.emplace(run.companions.config.config, cpu::Backend(request.threads));
    load_weights(*made, CheckpointTensors(folder), read_config(folder));
  });
  M& model = *made;
  const int batch_size = int(std::min<std::int64_t>(request.settings.per_device_eval_batch_size, data.size()));
  cpu::reserve<typename M::T>(model.backend(), model.config(), model.layers().pass_size(batch_size, data.block_size()));
  auto work = model.workspace(batch_size, data.block_size(), Mode::infer);
  TokenBatch batch(data, batch_size, model.config());
  LanguageModelling::Scores scores(data, model.config());
  return evaluate(
      model, work, batch, data, batch_size, scores,
      [&](std::int64_t done) {
        if (hooks.on_evaluation_progress) hooks.on_evaluation_progress(done, data.size());
        return !hooks.stop || hooks.stop() == 0;
      },
      &ranks);
}

MODERNGPT2_INLINE int evaluate_quantized(const TrainingRequest& request, const PreparedRun<>& run,
                                         const TrainingHooks& hooks) {
  distributed::CommunicatorBase& ranks = distributed::ranks_or_single(request.ranks);
  const std::string_view name = weight_format_name(*request.weights);
  hooks.say(
      settings_text(request, run, CausalLMInBf16::parameter_count(run.companions.config.config), cpu::Backend::name));
  std::optional<Evaluation> results[2];
  with_quantized(*request.weights, [&]<class Precision>(Precision) {
    using M = CausalLM<any_shape, cpu::Backend, Precision>;
    RunPlan quantized, bf16;
    run_or_fail_together(ranks, "planning the run", [&] {
      quantized = plan_run<M>(request, run, ranks.size());
      bf16 = plan_run<CausalLMInBf16>(request, run, ranks.size());
    });
    if (request.dry_run) {
      hooks.say(fmt::format("evaluation in {}:\n{}", name, plan_text(quantized.memory)));
      hooks.say(fmt::format("then in bf16:\n{}", plan_text(bf16.memory)));
      return;
    }
    results[0] = evaluate_weights<M>(request, run, hooks);
    if (results[0]) results[1] = evaluate_weights<CausalLMInBf16>(request, run, hooks);
  });
  if (request.dry_run) return 0;
  if (!results[1])
    return stop_status(int(max_over_ranks(ranks, hooks.stop ? hooks.stop() : 0, "the signal that stopped")));
  double factor = 0;  // from nats per label to bits per byte
  if (run.tokenizer) {
    const auto text = token_bytes(*run.tokenizer);
    const std::int64_t bytes = bytes_of_labels(run.data->eval, run.companions.config.config, [&](int id) {
      return run.tokenizer->is_special(id) ? 0 : int(text(id).size());
    });
    if (bytes > 0) factor = double(results[0]->labels) / std::log(2.0) / double(bytes);
  }
  const auto line = [&](std::string_view what, const Evaluation& result) {
    std::string out = fmt::format("evaluation in {} {}", what, result.text());
    if (factor > 0) out += fmt::format(", bits per byte {:.6f}", result.loss * factor);
    hooks.say(out + fmt::format(", over {} labels", result.labels));
  };
  line(name, *results[0]);
  line("bf16", *results[1]);
  const double more = results[0]->loss - results[1]->loss;
  hooks.say(fmt::format("{} - bf16: {} {:+.6f}, {:+.3f}%", name, factor > 0 ? "bits per byte" : "loss",
                        more * (factor > 0 ? factor : 1), 100 * more / results[1]->loss));
  return 0;
}

}  // namespace moderngpt2::detail

#endif
