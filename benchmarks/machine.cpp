/// Measures the peak of this machine with all threads: multiply-adds in registers, in fp32 and in bf16, and memory
/// bandwidth. If a unit outside of the vector registers multiplies bf16 (AMX), its peak is that of the library's best
/// large product; without bf16 instructions it equals fp32's.

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <iostream>
#include <memory>
#include <string>
#include <vector>

#ifdef __linux__
#include <sys/mman.h>
#endif

#include "moderngpt2/backend/cpu/product.hpp"
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

/// Seconds of chains(rounds) on each thread; what it returns is kept, so that no compiler leaves the work out.
double seconds_of(int threads, std::int64_t rounds, float (*chains)(std::int64_t)) {
  std::vector<float> results(std::size_t(threads) * 64);
  return shortest(5, [&] {
    parallel_tasks(threads, threads, [&](std::int64_t task, int) { results[std::size_t(task) * 64] = chains(rounds); });
  });
}

constexpr std::int64_t rounds = 10'000'000;
constexpr int fp32_chains = 12;  // more than latency x units, few enough for 16 registers

float multiply_fp32(std::int64_t n) {
  f32v sums[fp32_chains];
  for (int i = 0; i < fp32_chains; ++i) sums[i] = broadcast(float(i));
  f32v a = broadcast(0.999f), b = broadcast(0.001f);
  for (std::int64_t r = 0; r < n; ++r) {
#if defined(__x86_64__)
    asm volatile("" : "+x"(a), "+x"(b));  // else the loop would be computed at compile time
#endif
    for (int i = 0; i < fp32_chains; ++i) sums[i] = sums[i] * a + b;
  }
  f32v total{};
  for (const f32v& s : sums) total += s;
  return cpu::sum(total);
}

double fp32_flops_per_second(int threads) {
  return 2.0 * fp32_chains * lanes * double(rounds) * threads / seconds_of(threads, rounds, multiply_fp32);
}

#if defined(__x86_64__)
constexpr int bf16_chains = 16;

__attribute__((target("avx512f,avx512bf16"))) float multiply_bf16(std::int64_t n) {
  __m512 sums[bf16_chains];
  for (int i = 0; i < bf16_chains; ++i) sums[i] = _mm512_set1_ps(float(i));
  __m512i a = _mm512_set1_epi32(0x3c003c00), b = _mm512_set1_epi32(0x3c003c00);  // 2^-7 twice
  for (std::int64_t r = 0; r < n; ++r) {
    asm volatile("" : "+v"(a), "+v"(b));
    for (int i = 0; i < bf16_chains; ++i)
      sums[i] = _mm512_dpbf16_ps(sums[i], reinterpret_cast<__m512bh>(a), reinterpret_cast<__m512bh>(b));
  }
  float values[16], total = 0;
  for (const __m512& s : sums) {
    _mm512_storeu_ps(values, s);
    for (const float v : values) total += v;
  }
  return total;
}
#endif

/// FLOP/s of the library's product of 2048 x 2048 by 2048 x 4096 in bf16.
double product_flops_per_second(int threads) {
  constexpr std::int64_t m = 2048, n = 4096, k = 2048;
  cpu::Backend backend(threads);
  backend.product_scratch<float>(cpu::product_scratch<bf16>(threads));
  FlatBuffer<bf16> a(m * k), b(n * k);
  FlatBuffer<float> c(m * n);
  std::fill_n(a.data(), m * k, bf16(0.5f));
  std::fill_n(b.data(), n * k, bf16(0.5f));
  const double seconds = shortest(5, [&] {
    cpu::product(backend, cpu::Transpose::no, cpu::Transpose::yes, m, n, k, a.data(), k, b.data(), k, c.data(), n,
                 false);
  });
  return 2.0 * m * n * k / seconds;
}

double bf16_flops_per_second(int threads, double fp32) {
  double best = fp32;
#if defined(__x86_64__)
  if (__builtin_cpu_supports("avx512bf16"))
    best = 4.0 * bf16_chains * 16 * double(rounds) * threads / seconds_of(threads, rounds, multiply_bf16);
#endif
  if (cpu::has_bf16_products()) best = std::max(best, product_flops_per_second(threads));
  return best;
}

/// A block of memory beyond any cache, in large pages where the system has them.
class Memory {
 public:
  Memory() : data_(static_cast<float*>(std::aligned_alloc(page, bytes)), std::free) {
    if (!data_) throw Error("cannot allocate 1 GiB to read");
#ifdef MADV_HUGEPAGE
    ::madvise(data_.get(), bytes, MADV_HUGEPAGE);  // a failure only makes it slower
#endif
    std::fill_n(data_.get(), count, 0.0f);
  }

  /// Reads all of it once; its seconds.
  double read(int threads) const {
    std::vector<float> results(std::size_t(threads) * 64);
    const double begin = seconds_now();
    parallel_tasks(threads, threads, [&](std::int64_t task, int) {
      f32v sums[8] = {};
      const std::int64_t first = count / threads * task, end = first + count / threads;
      for (std::int64_t i = first; i + 8 * lanes <= end; i += 8 * lanes)
        for (int j = 0; j < 8; ++j) {
          const float* from = data_.get() + i + j * lanes;
          __builtin_prefetch(from + 1024, 0, 2);  // 4 KiB ahead, where the processor's own prefetching may stop
          sums[j] += cpu::load(from);
        }
      f32v total{};
      for (const f32v& s : sums) total += s;
      results[std::size_t(task) * 64] = cpu::sum(total);
    });
    return seconds_now() - begin;
  }

  static constexpr std::int64_t count = std::int64_t{1} << 28;
  static constexpr std::size_t bytes = count * sizeof(float);

 private:
  static constexpr std::size_t page = std::size_t{1} << 21;
  std::unique_ptr<float, decltype(&std::free)> data_;
};

/// The protocol of compare.py: "ready", then the seconds of reading 1 GiB (a mean of five) for each line that comes.
void serve(int threads) {
  const Memory memory;
  std::printf("ready\n");
  std::fflush(stdout);
  for (std::string line; std::getline(std::cin, line);) {
    double seconds = 0;
    for (int i = 0; i < 5; ++i) seconds += memory.read(threads) / 5;
    std::printf("%.6f\n", seconds);
    std::fflush(stdout);
  }
}

double bytes_per_second(int threads) {
  const Memory memory;
  double best = 1e30;
  for (int i = 0; i < 10; ++i) best = std::min(best, memory.read(threads));
  return double(Memory::bytes) / best;
}

int program(int argc, char** argv) {
  int threads = available_threads();
  bool serves = false;
  Options options("bench_machine", "Measures the most that a program could reach here.");
  options.add("threads", threads, "processor threads").at_least(1).default_text("all cores");
  options.add("serve", serves, "reads 1 GiB for each line of standard input, and says the seconds");
  options.parse(argc, argv);
  if (serves) {
    serve(threads);
    return 0;
  }
  const double fp32 = fp32_flops_per_second(threads);
  std::printf(
      "{\"threads\": %d, \"fp32_flops_per_second\": %.4g, \"bf16_flops_per_second\": %.4g, "
      "\"read_bytes_per_second\": %.4g}\n",
      threads, fp32, bf16_flops_per_second(threads, fp32), bytes_per_second(threads));
  return 0;
}

}  // namespace

int main(int argc, char** argv) { return moderngpt2::run_main(argc, argv, program); }
