/// Profile of a training step: calls, time, floating-point operations and bytes of each operation, and its share of the
/// roofline limit: the time that the machine needs at least for the operations or the bytes (bench_machine), whichever
/// is longer, divided by the measured time. Bytes count each tensor of a call once; with data in a cache, the share can
/// exceed 100%.

#include <algorithm>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include "moderngpt2/backend/cpu/scratch.hpp"
#include "moderngpt2/cli/main.hpp"
#include "moderngpt2/cli/options.hpp"
#include "moderngpt2/model/heads.hpp"
#include "moderngpt2/training/model_optimizer.hpp"
#include "sizes.hpp"
#include "traced_backend.hpp"

namespace {

using namespace moderngpt2;

struct Work {
  std::string size = "small", precision = "fp32";
  int batch = 2, time = 1024, threads = available_threads(), repeat = 3;
  double peak_gflops = 0, peak_gbytes = 0;
};

/// Runs `repeat` steps. Returns the totals by operation, and the seconds of all steps.
template <class M>
std::pair<std::map<std::string, traced::Total>, double> traced_steps(const Work& w, const Config& config) {
  M model(config, traced::Backend(w.threads));
  model.initialize(1);
  traced::Backend& backend = model.backend();
  cpu::reserve<typename M::T>(backend, config, model.layers().pass_size(w.batch, w.time));
  auto work = model.workspace(w.batch, w.time, Mode::train);
  auto gradients = model.make_gradients();
  ModelOptimizer optimizer(model, {});
  std::vector<int> ids;
  for (int i = 0; i < w.batch * w.time; ++i) ids.push_back(int(uniform_at(7, std::uint64_t(i)) * config.vocab_size));
  const std::int64_t labels = std::int64_t(w.batch) * (w.time - 1);
  double seconds = 0;
  for (int i = 0; i <= w.repeat; ++i) {  // the first one is a warm-up
    if (i <= 1) backend.totals.clear(), seconds = -seconds_now();
    set_to_zero(backend, gradients);
    model.loss_and_gradients(work, ids.data(), {ids.data(), labels}, gradients,
                             {.batch = w.batch, .time = w.time, .training = true});
    optimizer.step(model, gradients, 1e-4);
  }
  return {backend.totals, seconds + seconds_now()};
}

void print(const Work& w, const std::map<std::string, traced::Total>& totals, double seconds) {
  std::vector<std::pair<std::string, traced::Total>> rows(totals.begin(), totals.end());
  std::ranges::sort(rows, [](const auto& a, const auto& b) { return a.second.seconds > b.second.seconds; });
  fmt::print(
      "| operation | calls | ms | share | GFLOP | GFLOP/s | MB | GB/s | of the limit |\n"
      "| --- | --- | --- | --- | --- | --- | --- | --- | --- |\n");
  traced::Total all;
  double limits = 0;
  const auto row = [&](const std::string& name, const traced::Total& t, double limit) {
    const auto cell = [](double value) { return value > 0 ? fmt::format("{:.1f}", value) : std::string(); };
    fmt::print("| {} | {} | {:.2f} | {:.1f}% | {} | {} | {} | {} | {} |\n", name, t.calls / w.repeat,
               t.seconds * 1e3 / w.repeat, 100 * t.seconds / seconds, cell(t.flops / 1e9 / w.repeat),
               cell(t.flops / t.seconds / 1e9), cell(t.bytes / 1e6 / w.repeat), cell(t.bytes / t.seconds / 1e9),
               limit > 0 ? fmt::format("{:.0f}%", 100 * limit / t.seconds) : "");
  };
  for (const auto& [name, total] : rows) {
    double limit = 0;
    if (w.peak_gflops > 0) limit = total.flops / w.peak_gflops / 1e9;
    if (w.peak_gbytes > 0) limit = std::max(limit, total.bytes / w.peak_gbytes / 1e9);
    row(name, total, limit);
    limits += limit, all.seconds += total.seconds, all.flops += total.flops, all.bytes += total.bytes;
  }
  row("between operations", {.calls = w.repeat, .seconds = seconds - all.seconds}, 0);
  all.calls = w.repeat, all.seconds = seconds;
  row("a step", all, limits);
}

int program(int argc, char** argv) {
  Work w;
  Options options("bench_breakdown", "Prints the time of each operation in a training step.");
  options.add("size", w.size, "Model size.").choices({"tiny", "small", "medium", "large", "xl"});
  options.add("precision", w.precision, "Precision of weights and activations.").choices({"fp32", "bf16"});
  options.add("batch", w.batch, "Sequences in a step.").at_least(1);
  options.add("time", w.time, "Tokens of each sequence.").at_least(1);
  options.add("threads", w.threads, "CPU threads.").at_least(1).default_text("all cores");
  options.add("repeat", w.repeat, "Steps to average over.").at_least(1);
  options.add("peak_gflops", w.peak_gflops, "Peak GFLOP/s in this precision, by bench_machine.").at_least(0);
  options.add("peak_gbytes", w.peak_gbytes, "Peak memory bandwidth in GB/s, by bench_machine.").at_least(0);
  options.parse(argc, argv);

  Config config = bench::config_of(w.size);
  config.n_positions = std::max(config.n_positions, w.time);
  const auto [totals, seconds] = w.precision == "bf16"
                                     ? traced_steps<CausalLM<any_shape, traced::Backend, Bf16>>(w, config)
                                     : traced_steps<CausalLM<any_shape, traced::Backend>>(w, config);
  print(w, totals, seconds);
  return 0;
}

}  // namespace

int main(int argc, char** argv) { return moderngpt2::run_main(argc, argv, program); }
