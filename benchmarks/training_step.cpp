// One training step (forward, backward, clipping, AdamW) and one forward pass of `tiny` and `small`, static against
// dynamic. Counters: tokens/s, and floating-point operations per second (Decoder::training_flops_per_token).

#include <vector>

#include <benchmark/benchmark.h>

#include "moderngpt2/backend/cpu/scratch.hpp"
#include "moderngpt2/model/heads.hpp"
#include "moderngpt2/training/model_optimizer.hpp"
#include "sizes.hpp"

namespace {

using namespace moderngpt2;

std::vector<int> some_ids(const Config& c, int n) {
  std::vector<int> ids;
  for (int i = 0; i < n; ++i) ids.push_back(int(uniform_at(7, std::uint64_t(i)) * c.vocab_size));
  return ids;
}

void count(benchmark::State& state, int tokens, double flops_per_token) {
  const double total = double(state.iterations()) * tokens;
  state.counters["tokens/s"] = benchmark::Counter(total, benchmark::Counter::kIsRate);
  state.counters["FLOP/s"] = benchmark::Counter(total * flops_per_token, benchmark::Counter::kIsRate);
}

template <class M>
void training_step(benchmark::State& state, const Config& c, int batch, int time, Mode mode) {
  M model(c);
  model.initialize(1);
  cpu::reserve<float>(model.backend(), c, model.layers().pass_size(batch, time));
  auto work = model.workspace(batch, time, mode);
  auto gradients = model.make_gradients();
  ModelOptimizer optimizer(model, {});
  const std::vector<int> ids = some_ids(c, batch * time);
  for (auto _ : state) {
    set_to_zero(model.backend(), gradients);
    benchmark::DoNotOptimize(model.loss_and_gradients(work, ids.data(), {ids.data()}, gradients,
                                                      {.batch = batch, .time = time, .training = true}));
    optimizer.step(model, gradients, 1e-4);
  }
  count(state, batch * time, model.layers().training_flops_per_token(time));
}

template <class M>
void forward(benchmark::State& state, const Config& c, int batch, int time) {
  M model(c);
  model.initialize(1);
  auto work = model.workspace(batch, time, Mode::infer);
  const std::vector<int> ids = some_ids(c, batch * time);
  for (auto _ : state)
    benchmark::DoNotOptimize(model.loss(work, ids.data(), {ids.data()}, {.batch = batch, .time = time}));
  count(state, batch * time, model.layers().training_flops_per_token(time) / 3);
}

using bench::tiny_config, bench::tiny_shape;
constexpr Config small = bench::small_config;

}  // namespace

int main(int argc, char** argv) {
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 2;
  const auto add = [](const char* name, auto* run, auto... arguments) {
    benchmark::RegisterBenchmark(name, run, arguments...)->UseRealTime()->Unit(benchmark::kMillisecond);
  };
  add("step/tiny/dynamic", &training_step<CausalLM<any_shape>>, tiny_config, 4, 512, Mode::train);
  add("step/tiny/static", &training_step<CausalLM<tiny_shape>>, tiny_config, 4, 512, Mode::train);
  add("step/tiny/recompute", &training_step<CausalLM<any_shape>>, tiny_config, 4, 512, Mode::train_recompute);
  add("step/small/dynamic", &training_step<CausalLM<any_shape>>, small, 2, 1024, Mode::train);
  add("step/small/static", &training_step<CausalLM<small_shape>>, small, 2, 1024, Mode::train);
  add("forward/tiny/dynamic", &forward<CausalLM<any_shape>>, tiny_config, 4, 512);
  add("forward/small/dynamic", &forward<CausalLM<any_shape>>, small, 2, 1024);
  benchmark::RunSpecifiedBenchmarks();
}
