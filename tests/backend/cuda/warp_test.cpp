#include <doctest/doctest.h>

#include "backend/cuda/simulated_kernel.hpp"
#include "moderngpt2/backend/cuda/kernels/reduce.cuh"

using namespace moderngpt2;
using namespace moderngpt2::cuda;

namespace {

constexpr std::uint64_t seeds[] = {0, 1, 2, 3};

/// Every kind of shuffle of a value that identifies the thread, to out (8, threads).
__global__ void shuffle_all(int* out) {
  const int t = int(threadIdx.x), n = int(blockDim.x), value = t + 100;
  out[t] = __shfl_sync(full_mask, value, 5);
  out[n + t] = __shfl_sync(full_mask, value, t + 1, 8);
  out[2 * n + t] = __shfl_xor_sync(full_mask, value, 3);
  out[3 * n + t] = __shfl_xor_sync(full_mask, value, 8, 8);
  out[4 * n + t] = __shfl_up_sync(full_mask, value, 2);
  out[5 * n + t] = __shfl_up_sync(full_mask, value, 2, 16);
  out[6 * n + t] = __shfl_down_sync(full_mask, value, 3);
  out[7 * n + t] = __shfl_down_sync(full_mask, value, 3, 4);
}

__global__ void vote_all(unsigned* out) {
  const int t = int(threadIdx.x), n = int(blockDim.x);
  out[t] = __ballot_sync(full_mask, t % 3 == 0);
  out[n + t] = unsigned(__any_sync(full_mask, t == 40));
  out[2 * n + t] = unsigned(__all_sync(full_mask, t < 32));
}

/// Halves and quarters of a warp synchronize separately, with different numbers of iterations.
__global__ void meet_by_mask(int* out) {
  const int lane = int(threadIdx.x) % 32;
  const unsigned half = lane < 16 ? 0x0000ffffu : 0xffff0000u;
  int sum = lane;
  for (int turn = 0; turn < (lane < 16 ? 2 : 7); ++turn) sum += __shfl_xor_sync(half, sum, 1);
  if (lane / 8 == 2) sum += __shfl_sync(0x00ff0000u, 1000 + lane, 16);
  out[threadIdx.x] = sum;
}

/// Lanes exchange values through shared memory with __syncwarp only.
struct Exchange {
  int of_lane[4][32];
};
__global__ void exchange_in_warp(int* out) {
  auto& s = shared<Exchange>();
  const int warp = int(threadIdx.x) / 32, lane = int(threadIdx.x) % 32;
  int value = lane;
  for (int turn = 0; turn < 5; ++turn) {
    s.of_lane[warp][lane] = value;
    __syncwarp();
    value += s.of_lane[warp][(lane + 1) % 32];
    __syncwarp();
  }
  out[threadIdx.x] = value;
}

__global__ void leave_out_itself(int* out) { out[threadIdx.x] = __shfl_sync(0x0000ffffu, 1, 0); }
__global__ void read_outside(int* out) {
  if (threadIdx.x < 16) out[threadIdx.x] = __shfl_sync(0x0000ffffu, 1, 20);
}
__global__ void mixed_collectives(int* out) {
  if (threadIdx.x < 16)
    out[threadIdx.x] = __shfl_sync(full_mask, 1, 0);
  else
    out[threadIdx.x] = int(__ballot_sync(full_mask, 1));
}
__global__ void exited_lane(int* out) {
  if (threadIdx.x == 37) return;
  out[threadIdx.x] = __shfl_sync(full_mask, 1, 0);
}

}  // namespace

TEST_CASE("shuffles") {
  for (const auto seed : seeds) {
    CAPTURE(seed);
    const int n = 96;
    const auto out = test::run_kernel<int>(seed, 8 * n, shuffle_all, 1, n, 0);
    for (int t = 0; t < n; ++t) {
      const int warp = t / 32 * 32, lane = t % 32;
      const auto of = [&](int source) { return warp + source + 100; };
      const int expected[] = {of(5),
                              of(lane / 8 * 8 + (t + 1) % 8),
                              of(lane ^ 3),
                              of(lane),
                              of(lane < 2 ? lane : lane - 2),
                              of(lane % 16 < 2 ? lane : lane - 2),
                              of(lane > 28 ? lane : lane + 3),
                              of(lane % 4 == 0 ? lane + 3 : lane)};
      for (int k = 0; k < 8; ++k) CHECK_MESSAGE(out[std::size_t(k * n + t)] == expected[k], k, " ", t);
    }
  }
}

TEST_CASE("votes") {
  for (const auto seed : seeds) {
    const auto out = test::run_kernel<unsigned>(seed, 3 * 64, vote_all, 1, 64, 0);
    for (int t = 0; t < 64; ++t) {
      unsigned multiples = 0;
      for (int lane = 0; lane < 32; ++lane) multiples |= unsigned((t / 32 * 32 + lane) % 3 == 0) << lane;
      CHECK(out[std::size_t(t)] == multiples);
      CHECK(out[std::size_t(64 + t)] == unsigned(t >= 32));
      CHECK(out[std::size_t(128 + t)] == unsigned(t < 32));
    }
  }
}

TEST_CASE("collectives synchronize by warp and mask") {
  const auto orderly = test::run_kernel<int>(0, 128, meet_by_mask, 1, 128, 0);
  CHECK(orderly[0] == 0 + 1 + 1);  // pairs (0,1): both 1 after a turn, 2 after two
  CHECK(orderly[8] == 34);
  CHECK(orderly[24] == (24 + 25) * 64);
  CHECK(orderly[16] == (16 + 17) * 64 + 1016);
  for (const auto seed : seeds) CHECK(test::run_kernel<int>(seed, 128, meet_by_mask, 1, 128, 0) == orderly);
}

TEST_CASE("__syncwarp orders shared memory") {
  std::vector<int> value(32), next(32);
  for (int lane = 0; lane < 32; ++lane) value[std::size_t(lane)] = lane;
  for (int turn = 0; turn < 5; ++turn) {
    for (std::size_t lane = 0; lane < 32; ++lane) next[lane] = value[lane] + value[(lane + 1) % 32];
    value = next;
  }
  for (const auto seed : seeds) {
    const auto out = test::run_kernel<int>(seed, 128, exchange_in_warp, 1, 128, 0);
    for (std::size_t t = 0; t < 128; ++t) CHECK(out[t] == value[t % 32]);
  }
}

TEST_CASE("wrong masks are reported with thread, lane and mask") {
  auto text = test::fault_of([] { test::run_kernel<int>(0, 32, leave_out_itself, 1, 32, 0); });
  CHECK(test::contains(
      text, "__shfl_sync with mask 0000ffff, which leaves the lane itself out by thread 16 (warp 0, lane 16)"));
  CHECK(test::contains(text, "warp_test.cpp:"));
  text = test::fault_of([] { test::run_kernel<int>(0, 32, read_outside, 1, 32, 0); });
  CHECK(test::contains(text, "__shfl_sync reads lane 20, which mask 0000ffff leaves out"));
  text = test::fault_of([] { test::run_kernel<int>(0, 32, mixed_collectives, 1, 32, 0); });
  CHECK(test::contains(text, "__ballot_sync where lanes of the same mask ffffffff wait in __shfl_sync"));
  text = test::fault_of([] { test::run_kernel<int>(0, 24, leave_out_itself, 1, 24, 0); });
  CHECK(test::contains(text, "leaves the lane itself out"));
  text = test::fault_of([] { test::run_kernel<unsigned>(0, 3 * 40, vote_all, 1, 40, 0); });
  CHECK(test::contains(text, "in a warp of 8 threads"));
}

TEST_CASE("a mask with an exited lane is a deadlock") {
  for (const auto seed : seeds) {
    const auto text = test::fault_of([&] { test::run_kernel<int>(seed, 64, exited_lane, 1, 64, 0); });
    CHECK(test::contains(text, "deadlock"));
    CHECK(test::contains(text, "(warp 1, lane "));
    CHECK(test::contains(text, "waits in __shfl_sync with mask ffffffff"));
    CHECK(test::contains(text, "31 threads wait, 33 have exited"));
  }
  CHECK(test::run_kernel<int>(1, 128, meet_by_mask, 1, 128, 0).size() == 128);  // and the GPU goes on
}

namespace {

__global__ void sum_by_block(float* out) {
  auto& s = shared<BlockSums<2>>();
  float x[2] = {float(threadIdx.x), 1.0f};
  block_sum(x, s);
  out[blockIdx.x * blockDim.x + threadIdx.x] = x[0] + 1e6f * x[1] + warp_max(float(threadIdx.x % 32)) / 64;
}

}  // namespace

TEST_CASE("sums and maxima over warps and blocks") {
  for (const auto seed : seeds)
    for (const unsigned threads : {32u, 96u, 1024u}) {
      const auto out = test::run_kernel<float>(seed, 2 * threads, sum_by_block, 2, threads, 0);
      const float n = float(threads);
      for (const float x : out) CHECK(x == n * (n - 1) / 2 + 1e6f * n + 31.0f / 64);
    }
}
