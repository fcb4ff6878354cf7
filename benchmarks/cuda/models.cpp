// Measures tokens per second of training and decoding on the GPU, in bf16 with random weights.
//
//   models step SIZE BATCH TIME [PEAK [OPTION...]]   training steps as in the trainer, with AdamW and without dropout.
//                                                    PEAK: TFLOP/s of the GPU, to print the MFU. Options: searched
//                                                    (timed algorithms of matrix products), graph (a step is one CUDA
//                                                    graph), cudnn (cuDNN's attention). Halves the batch while the GPU
//                                                    is out of memory
//   models decode SIZE BATCH TIME TOKENS             decoding of TOKENS tokens for BATCH sequences, after TIME tokens
//
// SIZE: toy, small, medium, large or xl.

#include <algorithm>
#include <cstdlib>
#include <span>
#include <string>
#include <vector>

#include <fmt/format.h>

#include "measure.hpp"
#include "moderngpt2/core/clock.hpp"
#include "moderngpt2/distributed/communicator.hpp"
#include "moderngpt2/generation/cached_model.hpp"
#include "moderngpt2/model/heads.hpp"
#include "moderngpt2/training/zero_optimizer.hpp"

namespace {

using namespace moderngpt2;
using Model = CausalLM<any_shape, cuda::Backend, Bf16>;

Config config_of(const std::string& size, int positions) {
  Config c = bench::toy_config();
  if (size != "toy") {
    const auto preset = preset_config(size);
    if (!preset) throw Error("unknown size {}, expected toy, small, medium, large or xl", size);
    c = *preset;
    c.vocab_size = 32000;
    c.resid_pdrop = c.embd_pdrop = c.attn_pdrop = 0;
  }
  c.n_positions = std::max(c.n_positions, positions);
  return c;
}

/// Random weights. Faster than initialize(), which would take the host longer than the benchmark.
void give_weights(Model& model) {
  bench::fill_with_numbers(model.backend(), model.weights().matrices.data(), model.weights().matrices.size(), 0.03f);
}

std::vector<int> some_ids(const Config& c, int n) {
  std::vector<int> ids;
  for (int i = 0; i < n; ++i) ids.push_back(int(uniform_at(7, std::uint64_t(i)) * c.vocab_size));
  return ids;
}

/// Mean seconds of f(), which waits for the GPU, over about two seconds.
template <class F>
double mean_seconds(F&& f) {
  f();
  f();
  int runs = 0;
  const double begin = seconds_now();
  do {
    f();
    ++runs;
  } while (!bench::simulated && seconds_now() - begin < 2);
  return (seconds_now() - begin) / runs;
}

struct Ways {
  bool searched = false, graph = false, cudnn = false;
};

double step_seconds(const Config& c, int batch, int time, const Ways& ways) {
  Model model(c);
  model.backend().search_products(ways.searched);
  model.backend().use_cudnn_attention(ways.cudnn);
  give_weights(model);
  auto memory = model.workspace(batch, time, Mode::train);
  reserve<Model::T>(model.backend(), c, model.layers().pass_size(batch, time));
  distributed::CommunicatorBase& alone = distributed::ranks_or_single(nullptr);
  ZeroOptimizer<Model> optimizer(model, {}, alone, alone);
  cuda::StepGraph graph;
  const std::vector<int> ids = some_ids(c, batch * time);
  StepReport report{.learning_rate = 1e-5};
  const auto queue = [&] {
    optimizer.begin_step();
    optimizer.begin_pass(true);
    optimizer.add(model.loss_and_gradients(memory, ids.data(), {ids.data(), std::int64_t(batch) * (time - 1)},
                                           optimizer.gradients(), {.batch = batch, .time = time, .training = true}));
    optimizer.end_pass();
    optimizer.end_passes(true, 1, report.learning_rate);
  };
  return mean_seconds([&] {
    if (ways.graph)
      graph.run(model.backend(), {.rows = batch, .time = time, .updates = true}, queue);
    else
      queue();
    optimizer.finish_sums(true, 1, report);
    optimizer.apply(1, report);
  });
}

void time_step(const std::string& size, int batch, int time, double peak, const Ways& ways) {
  const Config c = config_of(size, time);
  for (;; batch /= 2) try {
      const double rate = double(batch) * time / step_seconds(c, batch, time, ways);
      fmt::print("training {}: batch {} x {}, {:.0f} tokens/s", size, batch, time, rate);
      if (peak > 0)
        fmt::print(", MFU {:.1f}% of {:.0f} TFLOP/s",
                   rate * Model::Layers(c).training_flops_per_token(time) / peak / 1e10, peak);
      fmt::print("{}{}{}\n", ways.searched ? ", products searched" : "", ways.graph ? ", as a graph" : "",
                 ways.cudnn ? ", cuDNN's attention" : "");
      return;
    } catch (const Error& e) {
      if (batch == 1 || std::string(e.what()).find("GPU memory") == std::string::npos) throw;
    }
}

void time_decode(const std::string& size, int batch, int time, int tokens) {
  Model model(config_of(size, time + tokens));
  give_weights(model);
  CachedModel<Model> rows(model, batch, time + tokens, time);
  const std::vector<int> ids = some_ids(model.config(), std::max(time, batch));
  for (int row = 0; row < batch; ++row) rows.prefill(row, std::span(ids).first(std::size_t(time)), 0);
  const double seconds = mean_seconds([&] {
    for (int t = 0; t < tokens; ++t) rows.step(std::span(ids).first(std::size_t(batch)), time + t);
  });
  fmt::print("decoding {}: batch {} after {} tokens, {:.0f} tokens/s\n", size, batch, time, batch * tokens / seconds);
}

int number(int argc, char** argv, int at) {
  const int n = at < argc ? std::atoi(argv[at]) : 0;
  if (n < 1) throw Error("argument {} must be a positive number: step|decode SIZE BATCH TIME [TOKENS or PEAK]", at);
  return n;
}

}  // namespace

int main(int argc, char** argv) try {
  const std::string part = argc > 1 ? argv[1] : "", size = argc > 2 ? argv[2] : "";
  if (part == "step") {
    Ways ways;
    for (int i = 6; i < argc; ++i) {
      const std::string way = argv[i];
      if (way != "searched" && way != "graph" && way != "cudnn")
        throw Error("unknown option {}, expected searched, graph or cudnn", way);
      (way == "searched" ? ways.searched : way == "graph" ? ways.graph : ways.cudnn) = true;
    }
    time_step(size, number(argc, argv, 3), number(argc, argv, 4), argc > 5 ? std::atof(argv[5]) : 0, ways);
  } else if (part == "decode") {
    time_decode(size, number(argc, argv, 3), number(argc, argv, 4), number(argc, argv, 5));
  } else {
    throw Error("models step|decode SIZE BATCH TIME [TOKENS or PEAK]");
  }
} catch (const Error& e) {
  fmt::print("{}\n", e.what());
  return 1;
}
