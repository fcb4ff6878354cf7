#include <vector>

#include <doctest/doctest.h>

#include "backend/cuda/simulated_kernel.hpp"

using namespace moderngpt2;
using namespace moderngpt2::cuda;

namespace {

/// d (32 lanes, 4) from fragments a (32, 4 registers) and b (32, 2).
template <class T>
__global__ void multiply_fragments(float* d, const std::uint32_t* a, const std::uint32_t* b) {
  const int lane = int(threadIdx.x);
  std::uint32_t fa[4], fb[2];
  float fd[4];
  for (int i = 0; i < 4; ++i) fa[i] = a[lane * 4 + i], fd[i] = float(lane * 4 + i);
  for (int i = 0; i < 2; ++i) fb[i] = b[lane * 2 + i];
  mma<T>(fd, fa, fb);
  for (int i = 0; i < 4; ++i) d[lane * 4 + i] = fd[i];
}

struct Tile {
  alignas(16) std::uint16_t row[32][8];
};

/// out (32 lanes, 12): ldmatrix of 4, of 4 transposed, of 2 and of 2 transposed, of matrices with element 100 row +
/// column.
__global__ void load_matrices(std::uint32_t* out) {
  auto& s = shared<Tile>();
  const int lane = int(threadIdx.x);
  for (int c = 0; c < 8; ++c) s.row[lane][c] = std::uint16_t(100 * lane + c);
  __syncwarp();
  std::uint32_t four[4], two[2];
  std::uint32_t* to = out + lane * 12;
  ldmatrix(four, s.row[lane]);
  for (int i = 0; i < 4; ++i) *to++ = four[i];
  ldmatrix<4, true>(four, s.row[lane]);
  for (int i = 0; i < 4; ++i) *to++ = four[i];
  ldmatrix(two, s.row[lane]);
  for (int i = 0; i < 2; ++i) *to++ = two[i];
  ldmatrix<2, true>(two, s.row[lane]);
  for (int i = 0; i < 2; ++i) *to++ = two[i];
}

template <class T>
struct Matrices {
  alignas(16) T a[16][16];
  alignas(16) T b_transposed[8][16];  // as a weight (Out,In) lies in memory
};

/// d (16,8) = a (16,16) b (16,8), both loaded by ldmatrix as the comment of mma describes.
template <class T>
__global__ void multiply_matrices(float* d, const float* a, const float* b) {
  auto& s = shared<Matrices<T>>();
  const int lane = int(threadIdx.x);
  for (int i = lane; i < 256; i += 32) s.a[i / 16][i % 16] = from_float<T>(a[i]);
  for (int i = lane; i < 128; i += 32) s.b_transposed[i % 8][i / 8] = from_float<T>(b[i]);
  __syncwarp();
  std::uint32_t fa[4], fb[2];
  ldmatrix(fa, &s.a[lane % 16][lane / 16 * 8]);
  ldmatrix(fb, &s.b_transposed[lane % 8][lane / 8 % 2 * 8]);
  float fd[4] = {};
  mma<T>(fd, fa, fb);
  for (int i = 0; i < 4; ++i) d[(lane / 4 + i / 2 * 8) * 8 + lane % 4 * 2 + i % 2] = fd[i];
}

__global__ void load_unaligned(std::uint32_t* out) {
  auto& s = shared<Tile>();
  std::uint32_t two[2];
  ldmatrix(two, &s.row[threadIdx.x][threadIdx.x == 3 ? 1 : 0]);
  out[threadIdx.x] = two[0];
}

template <class T>
cuda::DeviceArray<T> on_gpu(const cuda::Stream& stream, const std::vector<T>& host) {
  cuda::DeviceArray<T> there(std::int64_t(host.size()));
  cuda::copy(stream, there.data(), host.data(), there.size());
  stream.synchronize();
  return there;
}

/// Small integers, whose products and sums are exact.
float small(int i) { return float((i * 37 + 11) % 17 - 8); }

template <class T>
void check_fragments() {
  // Layout of fragments: PTX ISA, "Matrix Fragments for mma.m16n8k16 with floating point type".
  std::vector<std::uint32_t> a(32 * 4), b(32 * 2);
  float full_a[16][16], full_b[16][8];
  for (int i = 0; i < 256; ++i) full_a[i / 16][i % 16] = small(i);
  for (int i = 0; i < 128; ++i) full_b[i / 8][i % 8] = small(3 * i + 1);
  for (int lane = 0; lane < 32; ++lane) {
    const int group = lane >> 2, thread = lane & 3;
    for (int i = 0; i < 8; ++i) {
      const int row = (i < 2 || (i >= 4 && i < 6)) ? group : group + 8;
      const int col = thread * 2 + (i & 1) + (i >= 4 ? 8 : 0);
      a[std::size_t(lane * 4 + i / 2)] |= std::uint32_t(T(full_a[row][col]).bits) << (16 * (i % 2));
    }
    for (int i = 0; i < 4; ++i) {
      const int row = thread * 2 + (i & 1) + (i >= 2 ? 8 : 0);
      b[std::size_t(lane * 2 + i / 2)] |= std::uint32_t(T(full_b[row][group]).bits) << (16 * (i % 2));
    }
  }
  const cuda::Stream stream;
  const auto da = on_gpu(stream, a);
  const auto db = on_gpu(stream, b);
  for (const std::uint64_t seed : {0, 1, 2}) {
    const auto d = test::run_kernel<float>(seed, 128, multiply_fragments<T>, 1, 32, 0, da.data(), db.data());
    for (int lane = 0; lane < 32; ++lane)
      for (int i = 0; i < 4; ++i) {
        const int row = (lane >> 2) + (i < 2 ? 0 : 8), col = (lane & 3) * 2 + (i & 1);
        float expected = float(lane * 4 + i);
        for (int k = 0; k < 16; ++k) expected += full_a[row][k] * full_b[k][col];
        CHECK(d[std::size_t(lane * 4 + i)] == expected);
      }
  }
}

template <class T>
void check_product() {
  std::vector<float> a(256), b(128);
  for (int i = 0; i < 256; ++i) a[std::size_t(i)] = small(i);
  for (int i = 0; i < 128; ++i) b[std::size_t(i)] = small(5 * i + 2);
  const cuda::Stream stream;
  const auto da = on_gpu(stream, a), db = on_gpu(stream, b);
  for (const std::uint64_t seed : {0, 1, 2}) {
    const auto d = test::run_kernel<float>(seed, 128, multiply_matrices<T>, 1, 32, 0, da.data(), db.data());
    for (int row = 0; row < 16; ++row)
      for (int col = 0; col < 8; ++col) {
        float expected = 0;
        for (int k = 0; k < 16; ++k) expected += a[std::size_t(row * 16 + k)] * b[std::size_t(k * 8 + col)];
        CHECK(d[std::size_t(row * 8 + col)] == expected);
      }
  }
}

}  // namespace

TEST_CASE("layout of mma fragments as in the PTX ISA") {
  check_fragments<bf16>();
  check_fragments<f16>();
}

TEST_CASE("ldmatrix feeds mma") {
  check_product<bf16>();
  check_product<f16>();
}

TEST_CASE("layout of ldmatrix fragments as in the PTX ISA") {
  for (const std::uint64_t seed : {0, 1, 2}) {
    const auto out = test::run_kernel<std::uint32_t>(seed, 32 * 12, load_matrices, 1, 32, 0);
    for (int lane = 0; lane < 32; ++lane) {
      const auto element = [](int matrix, int row, int col) { return std::uint32_t(100 * (8 * matrix + row) + col); };
      const int group = lane >> 2, pair = (lane & 3) * 2;
      for (int m = 0; m < 4; ++m) {
        const std::uint32_t straight = element(m, group, pair) | element(m, group, pair + 1) << 16;
        const std::uint32_t transposed = element(m, pair, group) | element(m, pair + 1, group) << 16;
        CHECK(out[std::size_t(lane * 12 + m)] == straight);
        CHECK(out[std::size_t(lane * 12 + 4 + m)] == transposed);
        if (m >= 2) continue;
        CHECK(out[std::size_t(lane * 12 + 8 + m)] == straight);
        CHECK(out[std::size_t(lane * 12 + 10 + m)] == transposed);
      }
    }
  }
}

TEST_CASE("ldmatrix refuses misaligned rows") {
  const auto text = test::fault_of([] { test::run_kernel<std::uint32_t>(0, 32, load_unaligned, 1, 32, 0); });
  CHECK(test::contains(text, "ldmatrix of a row that does not start at a multiple of 16 bytes by thread 3"));
}
