// Kernels and launches with one fault each, to test that the simulated GPU, or the sanitizer it runs under, detects it.
//
//   planted NAME     exit status 0 if the fault was not noticed
//   planted --list

#include <cmath>
#include <cstdio>
#include <cstring>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "moderngpt2/backend/cuda/backend.hpp"
#include "moderngpt2/backend/cuda/device.cuh"
#include "moderngpt2/backend/cuda/kernels/reduce.cuh"
#include "moderngpt2/backend/cuda/launch.hpp"

using namespace moderngpt2;
using namespace moderngpt2::cuda;

namespace {

constexpr int threads = 96;

struct Partial {
  float of_warp[3];
};
template <bool barrier>
__global__ void sum_of_block(float* out) {
  auto& s = shared<Partial>();
  const float sum = warp_sum(1.0f);
  if (threadIdx.x % 32 == 0) s.of_warp[threadIdx.x / 32] = sum;
  if constexpr (barrier) __syncthreads();
  out[threadIdx.x] = s.of_warp[0] + s.of_warp[1] + s.of_warp[2];
}
__global__ void missing_warp_barrier(float* out) {
  auto& s = shared<Partial>();
  if (threadIdx.x == 40) s.of_warp[1] = 96;
  out[threadIdx.x] = threadIdx.x / 32 == 1 ? s.of_warp[1] : 96;
}
__global__ void divergent_barrier(float* out) {
  if (threadIdx.x / 32 != 1) __syncthreads();
  out[threadIdx.x] = 96;
}
__global__ void write_beyond(float* out) { out[threadIdx.x + 1] = 96; }
__global__ void index_beyond(float* out) {
  auto& s = shared<Partial>();
  s.of_warp[threadIdx.x / 24] = 96;
  __syncthreads();
  out[threadIdx.x] = s.of_warp[threadIdx.x / 32];
}
__global__ void add_plainly(float* out) {
  if (threadIdx.x == 0) *out = *out + 1;
}
__global__ void add_atomically(float* out) {
  if (threadIdx.x == 0) atomicAdd(out, 1.0f);
}

struct Tile {
  alignas(16) float at[2][threads][4];
};
/// Double-buffered rows of ones, summed by the next thread.
template <bool wait, bool barrier>
__global__ void sum_of_copies(float* out, const float* ones) {
  auto& s = shared<Tile>();
  const int t = int(threadIdx.x);
  float sum = 0;
  cp_async16(s.at[0][t], ones);
  cp_async_commit();
  for (int i = 0; i < 24; ++i) {
    if (i + 1 < 24) cp_async16(s.at[(i + 1) % 2][t], ones);
    cp_async_commit();
    if constexpr (wait) cp_async_wait<1>();
    __syncthreads();
    for (int j = 0; j < 4; ++j) sum += s.at[i % 2][(t + 40) % threads][j];
    if constexpr (barrier) __syncthreads();
  }
  out[t] = sum;
}

__global__ void fill(float* out, float value) { out[threadIdx.x] = value; }
__global__ void add(float* out, const float* in) { out[threadIdx.x] += in[threadIdx.x]; }

/// Runs f(stream, out), where out is zero. Whether all of out is `expected` afterwards.
template <class F>
bool all_are(float expected, int count, F&& f) {
  const Stream stream;
  const DeviceArray<float> out(count);
  std::vector<float> host(std::size_t(count), 0.0f);
  fill_bytes(stream, out.data(), 0, host.size() * sizeof(float));
  f(stream, out.data());
  copy(stream, host.data(), static_cast<const float*>(out.data()), count);
  stream.synchronize();
  for (const float x : host)
    if (x != expected) return false;
  return true;
}

template <class Kernel>
bool fills_block(Kernel kernel) {
  return all_are(96, threads, [&](cudaStream_t s, float* out) { launch(s, kernel, 1, threads, 0, out); });
}

template <class Kernel>
bool sums_copies(Kernel kernel) {
  return all_are(96, threads, [&](const Stream& s, float* out) {
    const DeviceArray<float> ones(4);
    const float host[4] = {1, 1, 1, 1};
    copy(s, ones.data(), host, 4);
    launch(s, kernel, 1, threads, 0, out, static_cast<const float*>(ones.data()));
    s.synchronize();
  });
}

template <class Kernel>
bool counts_blocks(Kernel kernel) {
  return all_are(20, 1, [&](cudaStream_t s, float* out) { launch(s, kernel, 20, 32, 0, out); });
}

/// Two streams, with or without an event between them.
bool adds_after_fill(bool ordered) {
  const Stream first;
  const DeviceArray<float> ones(threads);
  Event filled;
  launch(first, fill, 1, threads, 0, ones.data(), 96.0f);
  filled.record(first);
  const bool right = all_are(96, threads, [&](cudaStream_t s, float* out) {
    if (ordered) filled.wait(s);
    launch(s, add, 1, threads, 0, out, static_cast<const float*>(ones.data()));
  });
  first.synchronize();
  return right;
}

bool reads_on_host(bool waits) {
  const Stream stream;
  const DeviceArray<float> out(threads);
  std::vector<float> host(threads, 0.0f);
  launch(stream, fill, 1, threads, 0, out.data(), 96.0f);
  copy(stream, host.data(), static_cast<const float*>(out.data()), threads);
  if (waits) stream.synchronize();
  const bool right = host[0] == 96;
  stream.synchronize();
  return right;
}

bool frees_host_memory_early() {
  const Stream stream;
  const DeviceArray<float> out(threads);
  auto host = std::make_unique<std::vector<float>>(threads, 96.0f);
  copy(stream, out.data(), host->data(), threads);
  host.reset();
  stream.synchronize();
  return true;
}

bool touches_gpu_memory_on_host() {
  const DeviceArray<float> out(threads);
  volatile float* const data = out.data();
  data[3] = 96;
  return data[3] == 96;
}

const std::map<std::string, bool (*)()> faults = {
    {"none",
     [] {
       return fills_block(sum_of_block<true>) && sums_copies(sum_of_copies<true, true>) &&
              counts_blocks(add_atomically) && adds_after_fill(true) && reads_on_host(true);
     }},
    {"missing_barrier", [] { return fills_block(sum_of_block<false>); }},
    {"missing_warp_barrier", [] { return fills_block(missing_warp_barrier); }},
    {"divergent_barrier", [] { return fills_block(divergent_barrier); }},
    {"write_beyond", [] { return fills_block(write_beyond); }},
    {"index_beyond", [] { return fills_block(index_beyond); }},
    {"non_atomic_add", [] { return counts_blocks(add_plainly); }},
    {"missing_copy_wait", [] { return sums_copies(sum_of_copies<false, true>); }},
    {"copy_over_live_tile", [] { return sums_copies(sum_of_copies<true, false>); }},
    {"missing_event", [] { return adds_after_fill(false); }},
    {"missing_synchronize", [] { return reads_on_host(false); }},
    {"early_free", frees_host_memory_early},
    {"host_touches_gpu_memory", touches_gpu_memory_on_host},
};

}  // namespace

int main(int argc, char** argv) {
  if (argc != 2 || (std::strcmp(argv[1], "--list") != 0 && !faults.count(argv[1]))) return 2;
  if (std::strcmp(argv[1], "--list") == 0) {
    for (const auto& [name, run] : faults) std::puts(name.c_str());
    return 0;
  }
  for (std::uint64_t seed = 0; seed < 16; ++seed) {
    simt::machine().seed(seed);
    try {
      if (!faults.at(argv[1])()) {
        std::printf("wrong result with seed %d\n", int(seed));
        return 1;
      }
    } catch (const Error& e) {
      std::printf("%s\n", e.what());
      return 1;
    }
  }
  std::puts("nothing was noticed");
  return 0;
}
