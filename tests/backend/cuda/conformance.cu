// Prints the results of each primitive of backend/cuda/device.cuh, on a GPU (nvcc) and on the simulated GPU (g++ -x
// c++), for a comparison line by line. All numbers are integers or bit patterns, so both must agree exactly. With the
// name of a primitive as argument, runs only that one.

#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <vector>

#include "moderngpt2/backend/cuda/device.cuh"
#include "moderngpt2/backend/cuda/kernels/dropout.cuh"
#include "moderngpt2/backend/cuda/kernels/reduce.cuh"
#include "moderngpt2/backend/cuda/launch.hpp"
#include "moderngpt2/backend/cuda/memory.hpp"
#include "moderngpt2/backend/cuda/stream.hpp"

using namespace moderngpt2;
using namespace moderngpt2::cuda;

namespace {

using Word = std::uint32_t;

/// Small integer as a function of (lane, i).
__host__ __device__ inline int small(int lane, int i) { return (lane * 37 + i * 11) % 17 - 8; }

template <class T>
__global__ void mma_fragments(Word* out) {
  const int lane = int(threadIdx.x);
  Word a[4], b[2];
  float d[4];
  for (int i = 0; i < 4; ++i) {
    a[i] = pack_pair<T>(float(small(lane, 2 * i)), float(small(lane, 2 * i + 1)));
    d[i] = float(small(lane, 20 + i));
  }
  for (int i = 0; i < 2; ++i) b[i] = pack_pair<T>(float(small(lane, 10 + 2 * i)), float(small(lane, 11 + 2 * i)));
  mma<T>(d, a, b);
  for (int i = 0; i < 4; ++i) out[lane * 4 + i] = __float_as_uint(d[i]);
}

struct Tile {
  alignas(16) std::uint16_t row[32][8];
};
__global__ void ldmatrix_fragments(Word* out) {
  auto& s = shared<Tile>();
  const int lane = int(threadIdx.x);
  for (int c = 0; c < 8; ++c) s.row[lane][c] = std::uint16_t(100 * lane + c);
  __syncwarp();
  Word four[4], two[2];
  Word* to = out + lane * 12;
  ldmatrix(four, s.row[lane]);
  for (int i = 0; i < 4; ++i) *to++ = four[i];
  ldmatrix<4, true>(four, s.row[lane]);
  for (int i = 0; i < 4; ++i) *to++ = four[i];
  ldmatrix(two, s.row[lane]);
  for (int i = 0; i < 2; ++i) *to++ = two[i];
  ldmatrix<2, true>(two, s.row[lane]);
  for (int i = 0; i < 2; ++i) *to++ = two[i];
}

struct Landing {
  alignas(16) Word at[32][4];
};
__global__ void cp_async_bytes(Word* out, const Word* in) {
  auto& s = shared<Landing>();
  const int lane = int(threadIdx.x);
  cp_async16(s.at[lane], in + 4 * lane, lane % 17);
  cp_async_commit();
  cp_async_wait<0>();
  __syncthreads();
  for (int i = 0; i < 4; ++i) out[4 * lane + i] = s.at[(lane + 5) % 32][i];
}

__global__ void shuffles(Word* out) {
  const Word lane = threadIdx.x, value = lane + 100;
  Word* to = out + lane * 11;
  *to++ = __shfl_sync(full_mask, value, 5);
  *to++ = __shfl_sync(full_mask, value, int(lane) + 1, 8);
  *to++ = __shfl_xor_sync(full_mask, value, 3);
  *to++ = __shfl_xor_sync(full_mask, value, 8, 8);
  *to++ = __shfl_up_sync(full_mask, value, 2);
  *to++ = __shfl_up_sync(full_mask, value, 2, 16);
  *to++ = __shfl_down_sync(full_mask, value, 3);
  *to++ = __shfl_down_sync(full_mask, value, 3, 4);
  *to++ = __ballot_sync(full_mask, lane % 3 == 0);
  *to++ = Word(__any_sync(full_mask, lane == 7)) + 2 * Word(__all_sync(full_mask, lane < 32));
  const unsigned half = lane < 16 ? 0x0000ffffu : 0xffff0000u;
  *to++ = __shfl_xor_sync(half, value, 1);
}

__global__ void atomics(Word* out) {
  atomicAdd(out, threadIdx.x);
  atomicMax(out + 1, blockIdx.x * 1000 + threadIdx.x);
  atomicInc(out + 2, 4);
  atomicOr(out + 3, 1u << (threadIdx.x % 32));
  atomicAdd(reinterpret_cast<float*>(out + 4), 0.5f);
}

/// Conversions of floats of every exponent, including ties.
template <class T>
__global__ void conversions(Word* out) {
  const Word i = threadIdx.x;
  for (Word k = 0; k < 4; ++k) {
    const Word bits = (i << 23 | (k == 0 ? 0x8000u : k == 1 ? 0x1000u : k == 2 ? 0x3000u : i * 2654435761u >> 9));
    const T x = from_float<T>(__uint_as_float(i == 255 ? 0x7f800000u : bits));
    out[i * 4 + k] = x.bits ^ __float_as_uint(to_float(x));
  }
}

template <int N>
__global__ void dropout_bits(Word* out, const DropoutSite site) {
  const DropoutRow row(site, 2, 1, blockIdx.x);
  out[blockIdx.x * blockDim.x + threadIdx.x] = kept_bits<N>(row, int(threadIdx.x) * N);
}

__global__ void block_sums(Word* out) {
  auto& s = shared<BlockSums<1>>();
  float x[1] = {float(threadIdx.x)};
  block_sum(x, s);
  out[threadIdx.x] = __float_as_uint(x[0]) + __float_as_uint(warp_max(float(threadIdx.x)));
}

/// Largest error against double, in units of 2^-26 for exp2 (relative) and 2^-14 for tanh, rounded up to a power of 2:
/// 64 and 16 are what device.cuh promises.
__global__ void fast_functions(Word* out) {
  const float x = float(int(threadIdx.x) - 512) / 16.0f;
  const double e = fabs(double(fast_exp2(x)) / exp2(double(x)) - 1) * 67108864.0;
  const double t = fabs(double(fast_tanh(x)) - tanh(double(x))) * 16384.0;
  out[threadIdx.x] = Word(e <= 64) + 2 * Word(t <= 16);
}

const char* only = nullptr;

template <class Kernel, class... Arguments>
void dump(const char* name, int words, Kernel kernel, unsigned grid, unsigned block, Arguments... arguments) {
  if (only && std::strcmp(only, name) != 0) return;
  const Stream stream;
  const DeviceArray<Word> out(words);
  std::vector<Word> host(static_cast<std::size_t>(words));
  fill_bytes(stream, out.data(), 0, host.size() * sizeof(Word));
  launch(stream, kernel, grid, block, 0, out.data(), arguments...);
  copy(stream, host.data(), static_cast<const Word*>(out.data()), words);
  stream.synchronize();
  for (std::size_t i = 0; i < host.size(); ++i) {
    if (i % 8 == 0) std::printf("%s%s %d:", i ? "\n" : "", name, int(i));
    std::printf(" %08x", host[i]);
  }
  std::printf("\n");
}

}  // namespace

int main(int argc, char** argv) {
  if (argc > 1) only = argv[1];
  try {
    dump("mma_bf16", 128, mma_fragments<bf16>, 1, 32);
    dump("mma_fp16", 128, mma_fragments<f16>, 1, 32);
    dump("ldmatrix", 384, ldmatrix_fragments, 1, 32);
    std::vector<Word> host(128);
    for (Word i = 0; i < 128; ++i) host[i] = 0x01010101u * (i + 1);
    const Stream stream;
    const DeviceArray<Word> in(128);
    copy(stream, in.data(), host.data(), 128);
    stream.synchronize();
    dump("cp_async", 128, cp_async_bytes, 1, 32, static_cast<const Word*>(in.data()));
    dump("shuffle", 352, shuffles, 1, 32);
    dump("atomic", 5, atomics, 3, 64);
    dump("bf16", 1024, conversions<bf16>, 1, 256);
    dump("fp16", 1024, conversions<f16>, 1, 256);
    const DropoutSite site(Dropout{0.3, 0x123456789abcdef0, 7});
    dump("dropout_1", 256, dropout_bits<1>, 4, 64, site);
    dump("dropout_4", 256, dropout_bits<4>, 4, 64, site);
    dump("dropout_8", 256, dropout_bits<8>, 4, 64, site);
    dump("block_sum", 256, block_sums, 1, 256);
    dump("fast", 1024, fast_functions, 1, 1024);
  } catch (const std::exception& e) {
    std::fprintf(stderr, "%s\n", e.what());
    return 1;
  }
}
