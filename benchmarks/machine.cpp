/// What this machine can do at most, measured: multiply-adds in registers, and reading memory, with all threads.

#include <algorithm>
#include <cstdio>
#include <vector>

#include "moderngpt2/backend/cpu/simd.hpp"
#include "moderngpt2/cli/main.hpp"
#include "moderngpt2/cli/options.hpp"
#include "moderngpt2/core/clock.hpp"
#include "moderngpt2/core/memory.hpp"
#include "moderngpt2/core/parallel.hpp"

namespace {

using namespace moderngpt2;
using cpu::f32v, cpu::lanes, cpu::broadcast;

/// The shortest of several runs of f, in seconds.
template <class F>
double shortest(int runs, F&& f) {
  double best = 1e30;
  for (int i = 0; i < runs; ++i) {
    const double begin = seconds_now();
    f();
    best = std::min(best, seconds_now() - begin);
  }
  return best;
}

double flops_per_second(int threads) {
  constexpr int chains = 12;  // more than latency x units, few enough for 16 registers
  constexpr std::int64_t rounds = 20'000'000;
  std::vector<float> results(std::size_t(threads) * 64);
  const double seconds = shortest(5, [&] {
    parallel_tasks(threads, threads, [&](std::int64_t task, int) {
      f32v sums[chains];
      for (int i = 0; i < chains; ++i) sums[i] = broadcast(float(i));
      f32v a = broadcast(0.999f), b = broadcast(0.001f);
      for (std::int64_t r = 0; r < rounds; ++r) {
#if defined(__x86_64__)
        asm volatile("" : "+x"(a), "+x"(b));  // else the loop would be computed at compile time
#endif
        for (int i = 0; i < chains; ++i) sums[i] = sums[i] * a + b;
      }
      f32v total{};
      for (const f32v& s : sums) total += s;
      results[std::size_t(task) * 64] = cpu::sum(total);
    });
  });
  return 2.0 * chains * lanes * double(rounds) * threads / seconds;
}

double bytes_per_second(int threads) {
  constexpr std::int64_t count = std::int64_t{1} << 28;  // 1 GiB, beyond any cache
  const FlatBuffer<float> data(count);
  std::vector<float> results(std::size_t(threads) * 64);
  const double seconds = shortest(5, [&] {
    parallel_tasks(threads, threads, [&](std::int64_t task, int) {
      f32v sums[8] = {};
      const std::int64_t begin = count / threads * task, end = begin + count / threads;
      for (std::int64_t i = begin; i + 8 * lanes <= end; i += 8 * lanes)
        for (int j = 0; j < 8; ++j) sums[j] += cpu::load(data.data() + i + j * lanes);
      f32v total{};
      for (const f32v& s : sums) total += s;
      results[std::size_t(task) * 64] = cpu::sum(total);
    });
  });
  return double(count) * sizeof(float) / seconds;
}

int program(int argc, char** argv) {
  int threads = available_threads();
  Options options("bench_machine", "Measures the most that a program could reach here.");
  options.add("threads", threads, "processor threads").at_least(1).default_text("all cores");
  options.parse(argc, argv);
  std::printf("{\"threads\": %d, \"fp32_flops_per_second\": %.4g, \"read_bytes_per_second\": %.4g}\n", threads,
              flops_per_second(threads), bytes_per_second(threads));
  return 0;
}

}  // namespace

int main(int argc, char** argv) { return moderngpt2::run_main(argc, argv, program); }
