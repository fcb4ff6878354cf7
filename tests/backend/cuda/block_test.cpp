#include <cmath>

#include <doctest/doctest.h>

#include "backend/cuda/simulated_kernel.hpp"

using namespace moderngpt2;
using namespace moderngpt2::cuda;

namespace {

constexpr std::uint64_t seeds[] = {0, 1, 2, 3};

__global__ void write_indices(int* out) {
  const unsigned block = blockIdx.x + gridDim.x * (blockIdx.y + gridDim.y * blockIdx.z);
  const unsigned thread = threadIdx.x + blockDim.x * (threadIdx.y + blockDim.y * threadIdx.z);
  const unsigned threads = blockDim.x * blockDim.y * blockDim.z;
  out[block * threads + thread] =
      int(blockIdx.z * 10000 + blockIdx.y * 1000 + blockIdx.x * 100 + threadIdx.z * 16 + threadIdx.y * 8 + threadIdx.x);
}

struct Ring {
  int value[256];
};
/// Each thread repeatedly takes the value of the next thread, through static or dynamic shared memory.
__global__ void pass_around(int* out, int turns) {
  auto& s = shared<Ring>();
  auto& d = dynamic_shared<Ring>();
  const int t = int(threadIdx.x), n = int(blockDim.x);
  int value = t;
  for (int i = 0; i < turns; ++i) {
    auto& ring = i % 2 == 0 ? s : d;
    ring.value[t] = value;
    __syncthreads();
    value = ring.value[(t + 1) % n];
  }
  out[int(blockIdx.x) * n + t] = value;
}

struct Floats {
  float value[64];
};
/// Counts elements of shared memory that are NaN before the first write, then writes all.
__global__ void count_poison(int* out) {
  auto& s = shared<Floats>();
  auto& d = dynamic_shared<Floats>();
  const int t = int(threadIdx.x);
  out[blockIdx.x * 64 + threadIdx.x] = int(std::isnan(s.value[t])) + int(std::isnan(d.value[t]));
  s.value[t] = d.value[t] = 1;
}

__global__ void count_with_atomics(unsigned* out) {
  atomicAdd(out, threadIdx.x);
  atomicMax(out + 1, blockIdx.x * 1000 + threadIdx.x);
  atomicMin(out + 2, 500 - threadIdx.x);
  atomicInc(out + 3, 4);
  atomicOr(out + 4, 1u << (threadIdx.x % 32));
  unsigned seen = atomicAdd(out + 5, 0u);
  for (unsigned before; (before = atomicCAS(out + 5, seen, seen + 2)) != seen; seen = before) {
  }
  atomicExch(out + 6, 7u);
  atomicAdd(reinterpret_cast<float*>(out + 7), 0.5f);
}

/// The last block to finish adds the partial results of all, as in split reductions.
__global__ void last_block_adds(float* out, float* partial, unsigned* count) {
  auto& last = shared<Ring>();
  if (threadIdx.x == 0) partial[blockIdx.x] = float(blockIdx.x + 1);
  __threadfence();
  if (threadIdx.x == 0) last.value[0] = atomicInc(count, gridDim.x - 1) == gridDim.x - 1;
  __syncthreads();
  if (!last.value[0]) return;
  __threadfence();
  if (threadIdx.x != 0) return;
  float sum = 0;
  for (unsigned b = 0; b < gridDim.x; ++b) sum += partial[b];
  *out = sum;
}

__global__ void divergent_barrier(int* out) {
  if (threadIdx.x != 70) __syncthreads();
  out[threadIdx.x] = 1;
}
__global__ void two_barriers(int* out) {
  if (threadIdx.x < 32)
    __syncthreads();
  else
    __syncthreads();
  out[threadIdx.x] = 1;
}
__global__ void too_little_dynamic(int* out) { out[0] = dynamic_shared<Ring>().value[0]; }

__global__ void unaligned_pack(float* out) {
  const auto pack = load_pack<4>(out + threadIdx.x);
  out[threadIdx.x] = pack.at[0];
}

/// Copies rows of 24 elements by cp.async, the last copy partial, in two groups.
struct Rows24 {
  alignas(16) float row[2][8];
};
__global__ void copy_async(float* out, const float* in) {
  auto& s = shared<Rows24>();
  const int t = int(threadIdx.x);
  if (t < 2) cp_async16(&s.row[0][4 * t], in + 4 * t);
  cp_async_commit();
  if (t < 2) cp_async16(&s.row[1][4 * t], in + 8 + 4 * t, t == 0 ? 12 : 0);
  cp_async_commit();
  cp_async_wait<1>();
  __syncthreads();
  if (t < 8) out[t] = s.row[0][t];
  cp_async_wait<0>();
  __syncthreads();
  if (t < 8) out[8 + t] = s.row[1][t];
}

}  // namespace

TEST_CASE("indices of threads and blocks") {
  for (const auto seed : seeds) {
    const auto out = test::run_kernel<int>(seed, 12 * 32, write_indices, dim3(2, 3, 2), dim3(8, 2, 2), 0);
    std::size_t i = 0;
    for (int z = 0; z < 2; ++z)
      for (int y = 0; y < 3; ++y)
        for (int x = 0; x < 2; ++x)
          for (int t = 0; t < 32; ++t, ++i) CHECK(out[i] == z * 10000 + y * 1000 + x * 100 + t / 16 * 16 + t % 16);
  }
}

TEST_CASE("barriers and shared memory") {
  for (const auto seed : seeds)
    for (const int threads : {32, 96, 256}) {
      const auto out = test::run_kernel<int>(seed, 3 * threads, pass_around, 3, unsigned(threads), sizeof(Ring), 11);
      for (int i = 0; i < 3 * threads; ++i) CHECK(out[std::size_t(i)] == (i % threads + 11) % threads);
    }
}

TEST_CASE("shared memory is NaN for each block") {
  for (const int n : test::run_kernel<int>(0, 4 * 64, count_poison, 4, 64, sizeof(Floats))) CHECK(n == 2);
}

TEST_CASE("atomics") {
  for (const auto seed : seeds) {
    const auto out = test::run_kernel<unsigned>(seed, 8, count_with_atomics, 3, 64, 0);
    CHECK(out[0] == 3 * 63 * 32);
    CHECK(out[1] == 2063);
    CHECK(out[2] == 0);  // initial value
    CHECK(out[3] == 3 * 64 % 5);
    CHECK(out[4] == 0xffffffffu);
    CHECK(out[5] == 2 * 3 * 64);
    CHECK(out[6] == 7);
    CHECK(std::bit_cast<float>(out[7]) == 96.0f);
  }
}

TEST_CASE("a fence and an atomic publish writes") {
  for (const auto seed : seeds) {
    const cuda::Stream stream;
    const cuda::DeviceArray<float> partial(9);
    const cuda::DeviceArray<unsigned> count(1);
    cuda::fill_bytes(stream, count.data(), 0, sizeof(unsigned));
    stream.synchronize();
    CHECK(test::run_kernel<float>(seed, 1, last_block_adds, 9, 32, 0, partial.data(), count.data())[0] == 45.0f);
  }
}

TEST_CASE("a barrier that a thread misses is reported as a deadlock, with the location") {
  for (const auto seed : seeds) {
    const auto text = test::fault_of([&] { test::run_kernel<int>(seed, 96, divergent_barrier, 1, 96, 0); });
    CHECK(test::contains(text, "deadlock, in block (0,0,0) of 96 threads"));
    CHECK(test::contains(text, "waits in __syncthreads with mask ffffffff at block_test.cpp:"));
    CHECK(test::contains(text, "95 threads wait, 1 have exited"));
  }
}

TEST_CASE("threads of a block at two barriers") {
  const auto text = test::fault_of([] { test::run_kernel<int>(0, 64, two_barriers, 1, 64, 0); });
  CHECK(test::contains(text, "__syncthreads met by thread 0 at block_test.cpp:"));
  CHECK(test::contains(text, "by thread 32 (warp 1, lane 0) at block_test.cpp:"));
}

TEST_CASE("accesses that fail on a GPU") {
  auto text = test::fault_of([] { test::run_kernel<int>(0, 1, too_little_dynamic, 1, 32, 64); });
  CHECK(test::contains(text, "a layout of 1024 bytes in 64 bytes of dynamic shared memory"));
  text = test::fault_of([] { test::run_kernel<float>(0, 64, unaligned_pack, 1, 32, 0); });
  CHECK(test::contains(text, "an access of 16 bytes at an address that is no multiple of them by thread 1"));
}

TEST_CASE("cp.async copies, and fills the rest with zeros") {
  const cuda::Stream stream;
  std::vector<float> in(16);
  for (std::size_t i = 0; i < 16; ++i) in[i] = float(i + 1);
  const cuda::DeviceArray<float> there(16);
  cuda::copy(stream, there.data(), in.data(), 16);
  stream.synchronize();
  for (const auto seed : seeds) {
    const auto out = test::run_kernel<float>(seed, 16, copy_async, 1, 32, 0, static_cast<const float*>(there.data()));
    for (std::size_t i = 0; i < 16; ++i) CHECK(out[i] == (i < 11 ? float(i + 1) : 0.0f));
  }
}

TEST_CASE("launches that CUDA refuses") {
  const cuda::Stream stream;
  const cuda::DeviceArray<int> out(64);
  const auto error_of = [&](dim3 grid, dim3 block, std::size_t bytes) -> std::string {
    try {
      cuda::launch(stream, pass_around, grid, block, bytes, out.data(), 1);
    } catch (const Error& e) {
      return e.what();
    }
    return {};
  };
  CHECK(test::contains(error_of(1, 1025, 0), "cudaErrorInvalidConfiguration"));
  CHECK(test::contains(error_of(0, 32, 0), "a kernel launch failed"));
  CHECK(test::contains(error_of(dim3(1, 65536), 32, 0), "launch.hpp:"));
  CHECK(test::contains(error_of(1, 32, 228 * 1024), "cudaFuncSetAttribute(MaxDynamicSharedMemorySize) failed"));
  CHECK(error_of(1, 32, 100 * 1024).empty());
  stream.synchronize();
}
