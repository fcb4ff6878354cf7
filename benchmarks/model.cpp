/// Times a training step, the prefill of a prompt, the decoding of tokens, or requests one by one and at once. With
/// --serve, works for compare.py: prints "ready" after a warm-up, then runs once for each line of standard input and
/// prints the seconds. Without it, runs
/// --repeat times.

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <iostream>
#include <optional>
#include <string>
#include <sys/resource.h>
#include <type_traits>
#include <vector>

#include <fmt/format.h>

#include "moderngpt2/backend/cpu/scratch.hpp"
#include "moderngpt2/cli/main.hpp"
#include "moderngpt2/cli/options.hpp"
#include "moderngpt2/core/clock.hpp"
#include "moderngpt2/generation/batch_generator.hpp"
#include "moderngpt2/generation/cached_model.hpp"
#include "moderngpt2/model/heads.hpp"
#include "moderngpt2/run/plan.hpp"
#include "moderngpt2/training/model_optimizer.hpp"
#include "sizes.hpp"

namespace {

using namespace moderngpt2;

enum class Part { step, prefill, decode, requests };

struct Work {
  std::string size = "small";
  Part part = Part::step;
  int batch = 2, time = 1024, tokens = 64, threads = available_threads(), repeat = 5;
  double dropout = 0;
  bool recompute = false, serve = false, plan = false;
  std::string precision = "fp32";
  std::optional<WeightFormat> weights;
};

std::vector<int> some_ids(const Config& c, int n) {
  std::vector<int> ids;
  for (int i = 0; i < n; ++i) ids.push_back(int(uniform_at(7, std::uint64_t(i)) * c.vocab_size));
  return ids;
}

double peak_memory_gib() {
  rusage usage{};
  ::getrusage(RUSAGE_SELF, &usage);
  return double(usage.ru_maxrss) / (1 << 20);
}

/// Runs `once` after a warm-up, --repeat times or as a server.
template <class F>
void measure(const Work& work, F&& once) {
  once();
  if (work.serve) std::printf("ready\n"), std::fflush(stdout);
  std::string line;
  for (int i = 0; work.serve ? bool(std::getline(std::cin, line)) : i < work.repeat; ++i) {
    const double begin = seconds_now();
    once();
    std::printf("%.6f\n", seconds_now() - begin);
    std::fflush(stdout);
  }
  std::fprintf(stderr, "peak memory %.3f GiB\n", peak_memory_gib());
}

template <class M>
void time_step(const Work& work, M& model) {
  const Config& c = model.config();
  cpu::reserve<typename M::T>(model.backend(), c, model.layers().pass_size(work.batch, work.time));
  auto memory = model.workspace(work.batch, work.time, work.recompute ? Mode::train_recompute : Mode::train);
  auto gradients = model.make_gradients();
  ModelOptimizer optimizer(model, {});
  const std::vector<int> ids = some_ids(c, work.batch * work.time);
  measure(work, [&] {
    set_to_zero(model.backend(), gradients);
    model.loss_and_gradients(memory, ids.data(), {ids.data(), std::int64_t(work.batch) * (work.time - 1)}, gradients,
                             {.batch = work.batch, .time = work.time, .training = true});
    optimizer.step(model, gradients, 1e-4);
  });
}

/// Times the prefill of --batch prompts of --time tokens.
template <class M>
void time_prefill(const Work& work, M& model) {
  CachedModel<M> rows(model, work.batch, work.time, work.time);
  const std::vector<int> ids = some_ids(model.config(), work.time);
  measure(work, [&] {
    for (int row = 0; row < work.batch; ++row) rows.prefill(row, ids, 0);
  });
}

/// Times the decoding of --tokens tokens for each of --batch rows, after prompts of --time tokens.
template <class M>
void time_decode(const Work& work, M& model) {
  CachedModel<M> rows(model, work.batch, work.time + work.tokens, work.time);
  const std::vector<int> ids = some_ids(model.config(), std::max(work.time, work.batch));
  for (int row = 0; row < work.batch; ++row) rows.prefill(row, std::span(ids).first(std::size_t(work.time)), 0);
  measure(work, [&] {
    for (int t = 0; t < work.tokens; ++t) rows.step(std::span(ids).first(std::size_t(work.batch)), work.time + t);
  });
}

/// Prints the tokens/s of one request and of --batch requests at once, each with --time prompt tokens and --tokens new
/// ones, and their ratio. Both are timed alternately, so that the load of the machine changes the ratio little.
template <class M>
void time_requests(const Work& work, M& model) {
  BatchGenerator texts(model, {.slots = work.batch, .slot_tokens = work.time + work.tokens});
  GenerationOptions options;
  options.max_new_tokens = work.tokens;
  std::uint64_t serial = 0;
  const auto seconds_of = [&](int requests) {
    const double begin = seconds_now();
    for (int i = 0; i < requests; ++i) {
      std::vector<int> prompt = some_ids(model.config(), work.time);
      prompt[0] = int(serial++ % std::uint64_t(model.config().vocab_size));  // no two prompts share a prefix
      options.sequence = std::uint64_t(i);
      texts.add({prompt, options});
    }
    while (texts.step()) {
    }
    return seconds_now() - begin;
  };
  seconds_of(work.batch), seconds_of(1);
  std::vector<double> ratios;
  for (int i = 0; i < work.repeat; ++i) {
    const double alone = work.tokens / seconds_of(1), together = work.batch * work.tokens / seconds_of(work.batch);
    ratios.push_back(together / alone);
    fmt::print("1 request: {:.1f} tokens/s, {} requests: {:.1f} tokens/s, ratio {:.2f}\n", alone, work.batch, together,
               ratios.back());
  }
  std::ranges::sort(ratios);
  fmt::print("median ratio {:.2f}, cache {:.2f} GiB\n", ratios[ratios.size() / 2], double(texts.bytes()) / (1 << 30));
}

/// Prints as JSON: memory, floating-point operations per token, bytes of weights that each token reads.
template <class M>
void say_plan(const Work& work, const Config& c) {
  const double head = 2.0 * c.n_embd * c.vocab_size;  // a prompt computes the logits of its last token only
  const typename M::Layers layers(c);
  const double flops = layers.training_flops_per_token(work.time) / (work.part == Part::step ? 1 : 3);
  TrainingSettings settings;
  settings.per_device_train_batch_size = settings.per_device_eval_batch_size = work.batch;
  settings.gradient_checkpointing = work.recompute;
  double bytes = 0;
  if (work.part != Part::step)
    bytes = double(plan_evaluation<M>(c, settings, work.time, work.threads).lines.front().bytes) +  // the weights
            2.0 * c.n_layer * c.kv_width() * sizeof(typename M::T) * work.batch * (work.time + work.tokens);
  else if constexpr (!is_quantized<typename M::MatrixElement>)
    bytes = double(plan_memory<M>(c, settings, work.time, work.threads, INT64_MAX, 0).total());
  fmt::print("{{\"gib\": {:.3f}, \"flops\": {:.6g}, \"weight_bytes\": {:.6g}}}\n", bytes / (1 << 30),
             work.part == Part::prefill ? flops - head : flops,
             double(bytes_of_elements<typename M::MatrixElement>(layers.matmul_parameters())));
}

template <class M>
void run(const Work& work, const Config& config) {
  if (work.plan) return say_plan<M>(work, config);
  M model(config, typename M::Backend(work.threads));
  model.initialize(1);
  switch (work.part) {
    case Part::step:
      if constexpr (is_quantized<typename M::MatrixElement>)
        throw UsageError("--weights: quantized weights cannot be trained");
      else
        return time_step(work, model);
    case Part::prefill:
      return time_prefill(work, model);
    case Part::decode:
      return time_decode(work, model);
    case Part::requests:
      return time_requests(work, model);
  }
}

int program(int argc, char** argv) {
  Work work;
  Options options("bench_model", "Times a training step, a prefill or decoding, with random weights.");
  options.add("size", work.size, "Model size.").choices({"tiny", "small", "medium", "large", "xl"});
  options.add_choice(
      "part", work.part,
      {{"step", Part::step}, {"prefill", Part::prefill}, {"decode", Part::decode}, {"requests", Part::requests}},
      "what is timed");
  options.add("batch", work.batch, "Batch size in sequences.").at_least(1);
  options.add("time", work.time, "Tokens of each sequence, or of each prompt.").at_least(1);
  options.add("tokens", work.tokens, "Tokens to decode.").at_least(1);
  options.add("threads", work.threads, "CPU threads.").at_least(1).default_text("all cores");
  options.add("dropout", work.dropout, "Rate of all three dropouts.").between(0, 0.99);
  options.add("recompute", work.recompute, "Enable gradient checkpointing.");
  options.add("repeat", work.repeat, "Number of measurements.").at_least(1);
  options.add("precision", work.precision, "Precision of weights and activations.").choices({"fp32", "bf16"});
  options.add("weights", work.weights, "Format of quantized matrices, for prefill, decode and requests.")
      .default_text("that of --precision");
  options.add("plan", work.plan, "Print memory and FLOPs as JSON, and exit.");
  options.add("serve", work.serve, "Measure once for each line of standard input.");
  options.parse(argc, argv);
  Config config = bench::config_of(work.size);
  config.resid_pdrop = config.embd_pdrop = config.attn_pdrop = work.dropout;
  config.n_positions = std::max(config.n_positions, work.time + work.tokens);
  if (work.weights)
    with_quantized(*work.weights, [&]<class Q>(Q) { run<CausalLM<any_shape, cpu::Backend, Q>>(work, config); });
  else if (work.precision == "bf16")
    run<CausalLM<any_shape, cpu::Backend, Bf16>>(work, config);
  else
    run<CausalLM<any_shape>>(work, config);
  return 0;
}

}  // namespace

int main(int argc, char** argv) { return moderngpt2::run_main(argc, argv, program); }
