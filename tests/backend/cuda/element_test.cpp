#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>
#include <vector>

#include <doctest/doctest.h>

#include "backend/cuda/simulated_kernel.hpp"
#include "moderngpt2/backend/cuda/kernels/dropout.cuh"
#include "moderngpt2/core/dropout.hpp"

using namespace moderngpt2;
using namespace moderngpt2::cuda;

namespace {

template <int N>
__global__ void write_mask(float* out, const DropoutSite site, int width, int heads) {
  const int row = int(blockIdx.x) / heads, head = int(blockIdx.x) % heads;
  const DropoutRow words(site, row / 5, std::uint32_t(head), std::uint32_t(row % 5));
  for (int begin = 0; begin < width; begin += int(blockDim.x) * N) {
    const int first = begin + int(threadIdx.x) * N;
    const std::uint32_t bits = kept_bits<N>(words, first);
    for (int j = 0; j < N && first + j < width; ++j)
      out[int(blockIdx.x) * width + first + j] = bits >> j & 1 ? words.kept : 0.0f;
  }
}

template <int N>
void check_mask(const Dropout& d, int width) {
  const int rows = 12, heads = 3;
  std::vector<float> expected(std::size_t(rows * heads * width));
  for (int r = 0; r < rows; ++r)
    for (int h = 0; h < heads; ++h)
      dropout_factors(d, r / 5, std::uint32_t(h), std::uint32_t(r % 5), 0, width,
                      expected.data() + (r * heads + h) * width);
  for (const std::uint64_t seed : {0, 1}) {
    const auto out = test::run_kernel<float>(seed, rows * heads * width, write_mask<N>, unsigned(rows * heads), 64, 0,
                                             DropoutSite(d), width, heads);
    CHECK(out == expected);
  }
}

template <class T>
__global__ void through_packs(std::uint16_t* out, const float* in) {
  Pack<T, 8> pack;
  for (int j = 0; j < 8; ++j) pack.at[j] = from_float<T>(in[threadIdx.x * 8 + unsigned(j)]);
  store_pack(reinterpret_cast<T*>(out) + threadIdx.x * 8, pack);
}

}  // namespace

TEST_CASE("dropout masks equal those of the CPU") {
  for (const Dropout& d : {Dropout{0.1, 77, 0}, Dropout{0.5, 0x123456789abcdef0, 3}, Dropout{0.9, 5, (1ll << 40) - 1}})
    for (const int width : {1, 33, 64, 768, 1000}) {
      check_mask<1>(d, width);
      check_mask<4>(d, width);
      check_mask<8>(d, width);
    }
  CHECK(!DropoutSite(Dropout{}).active());
}

TEST_CASE("conversions of 16-bit elements equal those of core/dtype.hpp") {
  std::vector<float> in;
  for (int i = 0; i < 256; ++i) in.push_back(std::ldexp(float(i * 2654435761u >> 8) / float(1 << 23) - 1, i % 40 - 20));
  const Stream stream;
  const DeviceArray<float> there(256);
  copy(stream, there.data(), in.data(), 256);
  stream.synchronize();
  const auto b = test::run_kernel<std::uint16_t>(1, 256, through_packs<bf16>, 1, 32, 0, there.data());
  const auto h = test::run_kernel<std::uint16_t>(1, 256, through_packs<f16>, 1, 32, 0, there.data());
  for (std::size_t i = 0; i < 256; ++i) {
    CHECK(b[i] == bf16(in[i]).bits);
    CHECK(h[i] == f16(in[i]).bits);
    CHECK(pack_pair<bf16>(in[i], 2.0f) == (b[i] | std::uint32_t(bf16(2.0f).bits) << 16));
  }
}

TEST_CASE("fast functions have the largest errors that the PTX ISA allows") {
  double exp2_least = 0, exp2_most = 0, tanh_least = 0, tanh_most = 0;
  for (int i = -4000; i <= 4000; ++i) {
    const float x = float(i) / 64 + 1e-3f;
    const double e = double(fast_exp2(x)) / double(float(std::exp2(double(x)))) - 1;
    const double t = double(fast_tanh(x)) / std::tanh(double(x)) - 1;
    exp2_least = std::min(exp2_least, e), exp2_most = std::max(exp2_most, e);
    tanh_least = std::min(tanh_least, t), tanh_most = std::max(tanh_most, t);
  }
  const double ulps = std::ldexp(1.0, -22), part = std::ldexp(1.0, -11);
  for (const double x : {-exp2_least / ulps, exp2_most / ulps, -tanh_least / part, tanh_most / part}) {
    CHECK(x > 0.9);
    CHECK(x <= 1);
  }
  constexpr float infinity = std::numeric_limits<float>::infinity(), least = std::numeric_limits<float>::min();
  for (const float x : {0.0f, -0.0f, least / 2, -least / 2}) {
    CHECK(fast_exp2(x) == 1.0f);
    CHECK(fast_tanh(x) == x);
  }
  CHECK(fast_exp2(-infinity) == 0.0f);
  CHECK(fast_exp2(-126.5f) == 0.0f);  // would be subnormal
  CHECK(fast_exp2(infinity) == infinity);
  CHECK(std::isnan(fast_exp2(NAN)));
  CHECK(fast_tanh(infinity) == 1.0f);
  CHECK(fast_tanh(-infinity) == -1.0f);
  CHECK(std::isnan(fast_tanh(NAN)));
}
