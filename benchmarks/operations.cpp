// Every operation of the CPU backend at the sizes of `small`, 2 x 512 tokens, fp32. Counters: floating-point operations
// per second for those that compute, bytes per second (each tensor once) for those that read and write.

#include <functional>
#include <string>
#include <vector>

#include <benchmark/benchmark.h>

#include "moderngpt2/backend/cpu.hpp"
#include "moderngpt2/core/memory.hpp"
#include "moderngpt2/layers/rotary.hpp"
#include "sizes.hpp"

namespace {

using namespace moderngpt2;

constexpr Config c = bench::small_config;
constexpr int batch = 2, time_ = 512, rows = batch * time_, C = c.n_embd, F = c.n_inner, V = c.vocab_size;
constexpr int H = c.n_head, D = c.head_dim, HD = H * D, qkv_width = 3 * HD;

/// Buffers for all cases, filled with small numbers.
struct Data {
  static FlatBuffer<float> numbers(std::int64_t n) {
    FlatBuffer<float> b(n);
    for (std::int64_t i = 0; i < n; ++i) b[i] = float(uniform_at(3, std::uint64_t(i % 65536))) - 0.5f;
    return b;
  }
  cpu::Backend backend;
  FlatBuffer<float> x = numbers(std::int64_t(rows) * C), y = numbers(std::int64_t(rows) * C),
                    u = numbers(std::int64_t(rows) * C);
  FlatBuffer<float> qkv = numbers(std::int64_t(rows) * qkv_width), d_qkv = numbers(std::int64_t(rows) * qkv_width);
  FlatBuffer<float> o = numbers(std::int64_t(rows) * HD), lse{std::int64_t(rows) * H};
  FlatBuffer<float> gate_up = numbers(std::int64_t(rows) * 2 * F), h = numbers(std::int64_t(rows) * F);
  FlatBuffer<float> wte = numbers(std::int64_t(V) * C), dwte{std::int64_t(V) * C};
  FlatBuffer<float> w = numbers(std::int64_t(2 * F) * C), dw{std::int64_t(2 * F) * C};
  FlatBuffer<float> gain = numbers(C), d_gain{C}, d_gain2{C}, moments = numbers(std::int64_t(2) * V * C);
  RotaryPositions<float> rotary{c};
  std::vector<int> ids, labels;
  AttentionCall call{
      .batch = batch, .time = time_, .key_rows = time_, .n_head = H, .n_kv_head = H, .head_dim = D, .dropout = {}};

  Data() {
    for (int i = 0; i < rows; ++i) ids.push_back(int(uniform_at(5, std::uint64_t(i)) * V));
    labels = ids;
    const Rows<float> all(qkv.data(), rows, qkv_width);
    attention(backend, Rows<float>(o.data(), rows, HD), lse.data(), all.columns(0, HD), all.columns(HD, HD),
              all.columns(2 * HD, HD), call);
  }
  Rows<float> wide(FlatBuffer<float>& b, int width) const { return {b.data(), rows, width}; }
};

struct Operation {
  std::string name;
  double flops, bytes;  ///< per call
  std::function<void(Data&)> run;
};

std::vector<Operation> operations() {
  const double n = rows, f4 = 4, head = 2.0 * n * V * C,
               attention_flops = 4.0 * batch * H * D * time_ * (time_ + 1.0) / 2;
  const Dropout none, half{.rate = 0.1, .key = 1};
  const auto heads = [](Data& d, FlatBuffer<float>& b) {
    const Rows<float> all = d.wide(b, qkv_width);
    return std::array{all.columns(0, HD), all.columns(HD, HD), all.columns(2 * HD, HD)};
  };
  const auto vec = [](FlatBuffer<float>& b) { return Vector<float>{b.data(), C}; };
  return {
      {"embedding", 0, n * C * 8,
       [=](Data& d) {
         embedding(d.backend, d.wide(d.x, C), d.ids.data(), Matrix<float>{d.wte.data(), V, C}, 27.0f, time_, none);
       }},
      {"embedding_backward", 0, n * C * 12,
       [=](Data& d) {
         embedding_backward(d.backend, {d.dwte.data(), V, C}, d.ids.data(), d.wide(d.y, C), 27.0f, time_, none);
       }},
      {"dropout", 0, n * C * 8, [=](Data& d) { dropout(d.backend, d.wide(d.y, C), time_, half); }},
      {"matmul qkv", 2 * n * C * qkv_width, 0,
       [=](Data& d) {
         matmul(d.backend, d.wide(d.qkv, qkv_width), d.wide(d.x, C), Matrix<float>{d.w.data(), qkv_width, C});
       }},
      {"matmul_backward_input gate_up", 4 * n * C * F, 0,
       [=](Data& d) {
         matmul_backward_input(d.backend, d.wide(d.u, C), d.wide(d.gate_up, 2 * F),
                               Matrix<float>{d.w.data(), 2 * F, C});
       }},
      {"matmul_backward_weight gate_up", 4 * n * C * F, 0,
       [=](Data& d) {
         matmul_backward_weight(d.backend, {d.dw.data(), 2 * F, C}, d.wide(d.gate_up, 2 * F), d.wide(d.x, C));
       }},
      {"column_sum", 0, n * C * f4, [=](Data& d) { column_sum(d.backend, vec(d.d_gain), d.wide(d.x, C)); }},
      {"rotary", 0, n * HD * 8,
       [=](Data& d) { rotary(d.backend, heads(d, d.qkv)[0], d.rotary.table(), time_, 0, 1.0f); }},
      {"attention", attention_flops, 0,
       [=](Data& d) {
         const auto [q, k, v] = heads(d, d.qkv);
         attention(d.backend, d.wide(d.o, HD), d.lse.data(), q, k, v, d.call);
       }},
      {"attention_backward", 2.5 * attention_flops, 0,
       [=](Data& d) {
         const auto [q, k, v] = heads(d, d.qkv);
         const auto [dq, dk, dv] = heads(d, d.d_qkv);
         attention_backward(d.backend, dq, dk, dv, d.wide(d.y, C), d.wide(d.o, HD), d.lse.data(), q, k, v, d.call);
       }},
      {"rms_norm", 0, n * C * 8,
       [=](Data& d) { rms_norm(d.backend, d.wide(d.u, C), d.wide(d.x, C), vec(d.gain), 1e-6f); }},
      {"add_norm", 0, n * C * 16,
       [=](Data& d) {
         add_norm(d.backend, d.wide(d.x, C), d.wide(d.u, C), d.wide(d.x, C), d.wide(d.y, C), vec(d.gain), vec(d.gain),
                  1e-6f, time_, none);
       }},
      {"add_norm_backward", 0, n * C * 20,
       [=](Data& d) {
         add_norm_backward(d.backend, d.wide(d.u, C), d.wide(d.o, C), vec(d.d_gain), vec(d.d_gain2), d.wide(d.u, C),
                           d.wide(d.x, C), d.wide(d.y, C), vec(d.gain), vec(d.gain), 1e-6f, time_, none);
       }},
      {"gated_activation", 0, n * F * 12,
       [=](Data& d) { gated_activation(d.backend, d.wide(d.h, F), d.wide(d.gate_up, 2 * F), Activation::gelu_tanh); }},
      {"gated_activation_backward", 0, n * F * 20,
       [=](Data& d) {
         gated_activation_backward(d.backend, d.wide(d.gate_up, 2 * F), d.wide(d.h, F), d.wide(d.gate_up, 2 * F),
                                   Activation::gelu_tanh);
       }},
      {"classifier", 3 * head, 0,
       [=](Data& d) {
         classifier(d.backend, d.wide(d.u, C), {d.dwte.data(), V, C}, d.wide(d.x, C), Matrix<float>{d.wte.data(), V, C},
                    d.labels.data(), 0.0f, 1e-3f);
       }},
      {"classifier_loss", head, 0,
       [=](Data& d) {
         classifier_loss(d.backend, d.wide(d.x, C), Matrix<float>{d.wte.data(), V, C}, d.labels.data(), 0.0f);
       }},
      {"sum_of_squares", 0, f4 * V * C,
       [=](Data& d) { benchmark::DoNotOptimize(sum_of_squares(d.backend, d.wte.data(), std::int64_t(V) * C)); }},
      {"adamw", 0, 7 * f4 * V * C,
       [=](Data& d) {
         adamw(d.backend, d.wte.data(), d.moments.data(), d.moments.data() + std::int64_t(V) * C, d.dwte.data(),
               std::int64_t(V) * C, {.learning_rate = 1e-9});
       }},
  };
}

}  // namespace

int main(int argc, char** argv) {
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 2;
  Data data;
  for (const Operation& op : operations())
    benchmark::RegisterBenchmark(
        op.name.c_str(),
        [&data, op](benchmark::State& state) {
          for (auto _ : state) op.run(data);
          const double calls = double(state.iterations());
          if (op.flops > 0)
            state.counters["FLOP/s"] = benchmark::Counter(calls * op.flops, benchmark::Counter::kIsRate);
          if (op.bytes > 0)
            state.counters["bytes/s"] = benchmark::Counter(calls * op.bytes, benchmark::Counter::kIsRate);
        })
        ->UseRealTime()
        ->Unit(benchmark::kMillisecond);
  benchmark::RunSpecifiedBenchmarks();
}
