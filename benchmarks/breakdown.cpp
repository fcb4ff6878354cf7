/// Where the time of a training step goes: each operation's calls, time, floating-point operations or bytes, and the
/// part of what the machine can do (bench_machine) that it reaches. Bytes count each tensor of a call once.

#include <algorithm>
#include <string>
#include <vector>

#include <fmt/format.h>

#include "moderngpt2/backend/cpu/scratch.hpp"
#include "moderngpt2/cli/main.hpp"
#include "moderngpt2/cli/options.hpp"
#include "moderngpt2/model/heads.hpp"
#include "moderngpt2/training/optimizer.hpp"
#include "sizes.hpp"
#include "traced_backend.hpp"

namespace {

using namespace moderngpt2;

int program(int argc, char** argv) {
  std::string size = "small";
  int batch = 2, time = 1024, threads = available_threads(), repeat = 3;
  double peak_gflops = 0, peak_gbytes = 0;
  Options options("bench_breakdown", "Says where the time of a training step in fp32 goes.");
  options.add("size", size, "of the model").choices({"tiny", "small", "medium", "large", "xl"});
  options.add("batch", batch, "sequences").at_least(1);
  options.add("time", time, "tokens of each").at_least(1);
  options.add("threads", threads, "processor threads").at_least(1).default_text("all cores");
  options.add("repeat", repeat, "steps that are added up").at_least(1);
  options.add("peak_gflops", peak_gflops, "GFLOP/s that bench_machine measured").at_least(0);
  options.add("peak_gbytes", peak_gbytes, "GB/s that bench_machine measured").at_least(0);
  options.parse(argc, argv);

  Config config = bench::config_of(size);
  config.n_positions = std::max(config.n_positions, time);
  using M = CausalLM<any_shape, traced::Backend>;
  M model(config, traced::Backend(threads));
  model.initialize(1);
  traced::Backend& backend = model.backend();
  cpu::reserve<float>(backend, config, batch, time);
  auto work = model.workspace(batch, time, Mode::train);
  auto gradients = model.make_gradients();
  AdamW optimizer(model, {});
  std::vector<int> ids;
  for (int i = 0; i < batch * time; ++i) ids.push_back(int(uniform_at(7, std::uint64_t(i)) * config.vocab_size));
  const std::int64_t labels = std::int64_t(batch) * (time - 1);
  double seconds = 0;
  for (int i = 0; i <= repeat; ++i) {  // the first one does not count
    if (i <= 1) backend.totals.clear(), seconds = -seconds_now();
    set_to_zero(backend, gradients);
    model.loss_and_gradients(work, ids.data(), {ids.data(), labels}, gradients,
                             {.batch = batch, .time = time, .training = true});
    optimizer.step(model, gradients, 1e-4);
  }
  seconds += seconds_now();

  std::vector<std::pair<std::string, traced::Total>> rows(backend.totals.begin(), backend.totals.end());
  std::ranges::sort(rows, [](const auto& a, const auto& b) { return a.second.seconds > b.second.seconds; });
  fmt::print(
      "| operation | calls | ms | share | GFLOP/s | GB/s | of the limit |\n| --- | --- | --- | --- | --- | --- | --- "
      "|\n");
  double counted = 0;
  const auto row = [&](const std::string& name, std::int64_t calls, double s, double flops, double bytes) {
    const double gflops = flops / s / 1e9, gbytes = bytes / s / 1e9;
    const double peak = flops > 0 ? peak_gflops : peak_gbytes, reached = flops > 0 ? gflops : gbytes;
    fmt::print("| {} | {} | {:.2f} | {:.1f}% | {} | {} | {} |\n", name, calls / repeat, s * 1e3 / repeat,
               100 * s / seconds, flops > 0 ? fmt::format("{:.1f}", gflops) : "",
               bytes > 0 ? fmt::format("{:.1f}", gbytes) : "",
               peak > 0 ? fmt::format("{:.0f}%", 100 * reached / peak) : "");
  };
  for (const auto& [name, total] : rows) {
    row(name, total.calls, total.seconds, total.flops, total.bytes);
    counted += total.seconds;
  }
  row("between operations", repeat, seconds - counted, 0, 0);
  fmt::print("| a step | 1 | {:.1f} | 100% | | | |\n", seconds * 1e3 / repeat);
  return 0;
}

}  // namespace

int main(int argc, char** argv) { return moderngpt2::run_main(argc, argv, program); }
