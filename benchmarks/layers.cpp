// Forward and backward of each layer at the sizes of `small`, 2 x 512 tokens.

#include <benchmark/benchmark.h>

#include "moderngpt2/backend/cpu.hpp"
#include "moderngpt2/config/precision.hpp"
#include "moderngpt2/layers/attention.hpp"
#include "moderngpt2/layers/gated_mlp.hpp"
#include "moderngpt2/layers/rotary.hpp"
#include "moderngpt2/testing/numeric_checks.hpp"
#include "sizes.hpp"

namespace {

using namespace moderngpt2;

constexpr Config config = bench::small_config;
constexpr int batch = 2, time_ = 512, rows = batch * time_;

/// A mixer with random weights and inputs; `backward` adds the backward pass to each iteration.
template <class Mixer>
void mixer(benchmark::State& state, bool backward) {
  using E = Elements<float>;
  const Mixer layer(config);
  typename Mixer::template Params<E> p, g;
  CountParameters n;
  layer.describe(p, n);
  FlatBuffer<float> w(n.matrices), dw(n.matrices), v(n.vectors), dv(n.vectors);
  fill_random(w.data(), w.size(), 1, 0.02);
  BindParameters<float, float> weights{w.data(), v.data()}, gradients{dw.data(), dv.data()};
  layer.describe(p, weights);
  layer.describe(g, gradients);
  FlatBuffer<float> memory(std::int64_t(4) * rows * config.n_embd);
  fill_random(memory.data(), memory.size(), 2);
  const auto part = [&](int i) {
    return Rows<float>(memory.data() + std::int64_t(i) * rows * config.n_embd, rows, config.n_embd);
  };
  Arena plan;
  layer.template saved<float>(plan, batch, time_);
  layer.template scratch<float>(plan, batch, time_);
  const AlignedBuffer block(plan.peak());
  Arena arena(block);
  const auto saved = layer.template saved<float>(arena, batch, time_);
  const auto scratch = layer.template scratch<float>(arena, batch, time_);
  const RotaryPositions<float> rotary(config);
  cpu::Backend b;
  Pass<float> pass{.batch = batch, .time = time_};
  pass.rotary = rotary.table();
  for (auto _ : state) {
    layer.forward(b, part(1), Rows<const float>(part(0)), p, saved, pass, 0);
    if (backward)
      layer.backward(b, part(2), Rows<const float>(part(3)), Rows<const float>(part(0)), p, g, saved, scratch, pass, 0);
  }
  state.counters["tokens/s"] = benchmark::Counter(double(state.iterations()) * rows, benchmark::Counter::kIsRate);
}

using Attention = GroupedQueryAttention<dynamic, dynamic, dynamic, dynamic>;
using Mlp = GatedMlp<dynamic, dynamic>;

}  // namespace

int main(int argc, char** argv) {
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 2;
  const auto add = [](const char* name, auto* run, bool backward) {
    benchmark::RegisterBenchmark(name, run, backward)->UseRealTime()->Unit(benchmark::kMillisecond);
  };
  add("attention/forward", &mixer<Attention>, false);
  add("attention/forward+backward", &mixer<Attention>, true);
  add("mlp/forward", &mixer<Mlp>, false);
  add("mlp/forward+backward", &mixer<Mlp>, true);
  benchmark::RunSpecifiedBenchmarks();
}
