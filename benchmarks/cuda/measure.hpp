#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <vector>

#include "moderngpt2/backend/cuda.hpp"
#include "moderngpt2/config/presets.hpp"
#include "moderngpt2/core/random.hpp"

// Shared by the benchmarks for GPUs. On the simulated GPU, whose times are meaningless, everything runs once.
namespace moderngpt2::bench {

#ifdef MODERNGPT2_CUDA_SIMULATED
inline constexpr bool simulated = true;
#else
inline constexpr bool simulated = false;
#endif

/// Model small enough for the simulated GPU to run in a second.
constexpr Config toy_config() {
  Config c = size_config(1, 64, 2);
  c.vocab_size = 300;
  c.resid_pdrop = c.embd_pdrop = c.attn_pdrop = 0;
  return c;
}

/// n random numbers in [-most, most] in GPU memory; a sequence of a million, repeated.
template <class T>
void fill_with_numbers(cuda::Backend& b, T* to, std::int64_t n, float most) {
  std::vector<T> some(std::size_t(std::min<std::int64_t>(n, 1 << 20)));
  for (std::size_t i = 0; i < some.size(); ++i) some[i] = T(most * float(2 * uniform_at(3, i) - 1));
  std::int64_t done = std::int64_t(some.size());
  cuda::copy(b.stream(), to, static_cast<const T*>(some.data()), done);
  for (; done < n; done += std::min(done, n - done))
    cuda::copy(b.stream(), to + done, static_cast<const T*>(to), std::min(done, n - done));
  b.synchronize();
}

template <class T>
cuda::DeviceArray<T> numbers(cuda::Backend& b, std::int64_t n) {
  cuda::DeviceArray<T> made(n);
  fill_with_numbers(b, made.data(), n, 0.5f);
  return made;
}

/// Mean seconds of run(), which queues work on the backend, over as many calls as take `least` seconds, after a warm-up
/// call.
template <class F>
double seconds_of(cuda::Backend& b, F&& run, double least = 0.05) {
  run();
  cuda::Event begin(true), end(true);
  for (int calls = 1;;) {
    begin.record(b.stream());
    for (int i = 0; i < calls; ++i) run();
    end.record(b.stream());
    end.synchronize();
    const double seconds = double(end.since(begin)) / 1e3;
    if (simulated || seconds >= least) return seconds / calls;
    const double wanted = seconds > 0 ? std::ceil(1.1 * calls * least / seconds) : 16.0 * calls;
    calls = int(std::clamp(wanted, calls + 1.0, 16.0 * calls));
  }
}

}  // namespace moderngpt2::bench
