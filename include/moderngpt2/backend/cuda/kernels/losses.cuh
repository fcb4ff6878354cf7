#pragma once

#include <cstdint>
#include <limits>

#include "moderngpt2/backend/calls.hpp"
#include "moderngpt2/backend/cuda/device.cuh"
#include "moderngpt2/backend/cuda/kernels/packs.cuh"
#include "moderngpt2/backend/cuda/kernels/reduce.cuh"
#include "moderngpt2/backend/cuda/launch.hpp"
#include "moderngpt2/backend/cuda/runtime.hpp"
#include "moderngpt2/core/dtype.hpp"
#include "moderngpt2/core/view.hpp"

// Entries of kernels/losses.cuh: plain data, all pointers to GPU memory.
namespace moderngpt2::cuda {

/// Where the losses of rows, or of groups of elements, go, and their sum.
struct LossSum {
  float* parts;   ///< (parts of the operation)
  double* total;  ///< one number
  bool add;       ///< to what is there
};

/// Cross-entropy of rows of logits, c tanh(logit / c) first where softcap c > 0; d = scale * its gradient to the
/// logits as they came. An ignored label gives loss 0 and gradient 0.
template <class T>
struct CrossEntropy {
  Rows<T> d;  ///< (N,V); null: none. Its rows may begin where those of the logits do
  Rows<const float> logits;
  const int* labels;  ///< (N)
  float softcap, scale;
  LossSum sum;  ///< parts: (N), the loss of each row

  void launch(cudaStream_t stream) const;
};

enum class ElementLossKind { squared, binary };

/// (logit - target)^2, or the cross-entropy of sigmoid(logit) with a target in [0, 1]; d = scale * its gradient.
template <class T>
struct ElementLoss {
  static constexpr int block_elements = 4096;

  ElementLossKind kind;
  Rows<T> d;  ///< (N,V); null: none
  Rows<const float> logits;
  const float* targets;  ///< (N,V), contiguous
  float scale;
  LossSum sum;  ///< parts: (parts(N * V))

  static int parts(std::int64_t elements) { return int((elements + block_elements - 1) / block_elements); }
  void launch(cudaStream_t stream) const;
};

/// x (N,V) = cap tanh(x / cap), in place
template <class T>
struct SoftCap {
  Rows<T> x;
  float cap;

  void launch(cudaStream_t stream) const;
};

#ifdef MODERNGPT2_CUDA_KERNELS

namespace detail {

struct CrossEntropyMemory {
  float top[32];
  BlockSums<1> sums;
};

/// N logits from `column` on, capped; minus infinity beyond the end.
template <int N>
MODERNGPT2_DEVICE void load_logits(float (&x)[N], const float* row, int column, int width, float cap, float inverse) {
  if (column + N <= width) {
    load_floats(x, row + column);
  } else {
    for (int j = 0; j < N; ++j) x[j] = column + j < width ? row[column + j] : 0.0f;
  }
  if (cap > 0)
    for (int j = 0; j < N; ++j) x[j] = cap * tanhf(x[j] * inverse);
  if (column + N > width)
    for (int j = 0; j < N; ++j)
      if (column + j >= width) x[j] = -std::numeric_limits<float>::infinity();
}

template <int N, class T>
MODERNGPT2_DEVICE void store_part(T* row, const float (&x)[N], int column, int width) {
  if (column + N <= width) {
    store_floats(row + column, x);
  } else {
    for (int j = 0; j < N; ++j)
      if (column + j < width) row[column + j] = from_float<T>(x[j]);
  }
}

/// The largest logit seen and the sum of exp(logit - largest): both in one reading of the row.
struct RunningSum {
  float top = -std::numeric_limits<float>::max(), sum = 0;

  template <int N>
  MODERNGPT2_DEVICE void add(const float (&x)[N]) {
    float largest = x[0];
    for (int j = 1; j < N; ++j) largest = fmaxf(largest, x[j]);
    if (largest > top) sum *= expf(top - largest), top = largest;
    for (int j = 0; j < N; ++j) sum += expf(x[j] - top);
  }
  /// That of all threads of the block.
  MODERNGPT2_DEVICE void combine(CrossEntropyMemory& memory) {
    const int warps = int(blockDim.x) / 32, lane = int(threadIdx.x) % 32;
    float of_block = warp_max(top);
    if (lane == 0) memory.top[threadIdx.x / 32] = of_block;
    __syncthreads();
    of_block = warp_max(memory.top[lane < warps ? lane : 0]);
    float sums[1] = {sum * expf(top - of_block)};
    block_sum(sums, memory.sums);
    top = of_block, sum = sums[0];
  }
};

/// A block has a row. The second reading, for the gradient, is of what the L2 cache still has.
template <class T, int N>
__global__ void __launch_bounds__(1024) cross_entropy_kernel(const CrossEntropy<T> a) {
  auto& memory = shared<CrossEntropyMemory>();
  constexpr int items = 16 / N;
  const int r = int(blockIdx.x), width = a.logits.width, label = a.labels[r];
  const int step = int(blockDim.x) * N, mine = int(threadIdx.x) * N;
  const float cap = a.softcap, inverse = cap > 0 ? 1.0f / cap : 0.0f;
  const float* row = a.logits.row(r);
  if (label == ignored_label) {
    const float zero[N] = {};
    if (a.d.data)
      for (int column = mine; column < width; column += step) store_part(a.d.row(r), zero, column, width);
    if (threadIdx.x == 0) a.sum.parts[r] = 0;
    return;
  }
  float at_label[1];
  load_logits(at_label, row, label, width, cap, inverse);
  RunningSum of_row;
  for (int column = mine; column < width; column += step) {
    float x[N];
    load_logits(x, row, column, width, cap, inverse);
    of_row.add(x);
  }
  of_row.combine(memory);
  // Never top + log(sum): with logits of 100 its rounding would be most of a small loss.
  if (threadIdx.x == 0) a.sum.parts[r] = logf(of_row.sum) - (at_label[0] - of_row.top);
  if (!a.d.data) return;
  const float share = a.scale / of_row.sum;
  T* const d = a.d.row(r);
  __syncthreads();
  for (int first = 0; first < width; first += step * items) {
    float x[items][N];
    for (int i = 0; i < items; ++i) load_logits(x[i], row, first + i * step + mine, width, cap, inverse);
    // Shorter elements of the same memory go over logits that others read in this turn.
    if constexpr (sizeof(T) < sizeof(float)) __syncthreads();
    for (int i = 0; i < items; ++i) {
      const int column = first + i * step + mine;
      for (int j = 0; j < N; ++j) {
        const float tanh = x[i][j] * inverse, slope = 1.0f - tanh * tanh;
        const float probability = expf(x[i][j] - of_row.top) * share * slope;
        x[i][j] = column + j == label ? probability - a.scale * slope : probability;
      }
      store_part(d, x[i], column, width);
    }
  }
}

struct TotalMemory {
  double sums[256];
};

/// total (+)= sum of parts (n), in a fixed order.
template <int threads>
__global__ void __launch_bounds__(threads) sum_losses_kernel(const LossSum a, int n) {
  auto& memory = shared<TotalMemory>();
  double sum = 0;
  for (int i = int(threadIdx.x); i < n; i += threads) sum += double(a.parts[i]);
  memory.sums[threadIdx.x] = sum;
  for (int half = threads / 2; half > 0; half /= 2) {
    __syncthreads();
    if (int(threadIdx.x) < half) memory.sums[threadIdx.x] += memory.sums[int(threadIdx.x) + half];
  }
  if (threadIdx.x == 0) *a.total = (a.add ? *a.total : 0.0) + memory.sums[0];
}

struct ElementLossMemory {
  BlockSums<1> sums;
};

/// Neighbouring threads have neighbouring elements: logits of heads are few and narrow, no packs of them are aligned.
template <class T, ElementLossKind kind>
__global__ void __launch_bounds__(256) element_loss_kernel(const ElementLoss<T> a) {
  auto& memory = shared<ElementLossMemory>();
  const int width = a.logits.width;
  const std::int64_t n = std::int64_t(a.logits.count) * width;
  const std::int64_t begin = std::int64_t(blockIdx.x) * ElementLoss<T>::block_elements;
  float sums[1] = {};
  for (int i = int(threadIdx.x); i < ElementLoss<T>::block_elements && begin + i < n; i += int(blockDim.x)) {
    const int r = int((begin + i) / width), column = int((begin + i) % width);
    const float s = a.logits.row(r)[column], target = a.targets[begin + i];
    float slope;
    if constexpr (kind == ElementLossKind::squared) {
      sums[0] += (s - target) * (s - target);
      slope = 2 * (s - target);
    } else {  // log(1 + e^s) - target s
      sums[0] += fmaxf(s, 0.0f) + log1pf(expf(-fabsf(s))) - target * s;
      slope = 1.0f / (1.0f + expf(-s)) - target;
    }
    if (a.d.data) a.d.row(r)[column] = from_float<T>(a.scale * slope);
  }
  block_sum(sums, memory.sums);
  if (threadIdx.x == 0) a.sum.parts[blockIdx.x] = sums[0];
}

template <class T, int N>
__global__ void __launch_bounds__(256) softcap_kernel(const SoftCap<T> a) {
  T* const row = a.x.row(int(blockIdx.x));
  const float inverse = 1.0f / a.cap;
  for (int column = int(threadIdx.x) * N; column < a.x.width; column += int(blockDim.x) * N) {
    float x[N];
    load_floats(x, row + column);
    for (int i = 0; i < N; ++i) x[i] = a.cap * tanhf(x[i] * inverse);
    store_floats(row + column, x);
  }
}

}  // namespace detail

template <class T>
void CrossEntropy<T>::launch(cudaStream_t stream) const {
  const bool in_packs = detail::pack_aligned(logits.data, std::int64_t(logits.stride) * std::int64_t(sizeof(float))) &&
                        detail::pack_aligned(d.data, std::int64_t(d.stride) * std::int64_t(sizeof(T)));
  detail::dispatch_pack<T>(in_packs, [&](auto n) {
    constexpr int N = decltype(n)::value;
    const int warps = (logits.width + N * 32 - 1) / (N * 32);
    cuda::launch(stream, detail::cross_entropy_kernel<T, N>, unsigned(logits.count),
                 unsigned(32 * (warps < 32 ? warps : 32)), 0, *this);
  });
  cuda::launch(stream, detail::sum_losses_kernel<256>, 1, 256, 0, sum, logits.count);
}

template <class T>
void ElementLoss<T>::launch(cudaStream_t stream) const {
  const int blocks = parts(std::int64_t(logits.count) * logits.width);
  if (kind == ElementLossKind::squared)
    cuda::launch(stream, detail::element_loss_kernel<T, ElementLossKind::squared>, unsigned(blocks), 256, 0, *this);
  else
    cuda::launch(stream, detail::element_loss_kernel<T, ElementLossKind::binary>, unsigned(blocks), 256, 0, *this);
  cuda::launch(stream, detail::sum_losses_kernel<256>, 1, 256, 0, sum, blocks);
}

template <class T>
void SoftCap<T>::launch(cudaStream_t stream) const {
  detail::dispatch_pack<T>(detail::pack_aligned(x), [&](auto n) {
    constexpr int N = decltype(n)::value;
    cuda::launch(stream, detail::softcap_kernel<T, N>, unsigned(x.count), detail::row_threads(x.width, N), 0, *this);
  });
}

MODERNGPT2_CUDA_INSTANTIATE(CrossEntropy);
MODERNGPT2_CUDA_INSTANTIATE(SoftCap);
#ifdef __CUDACC__
template struct ElementLoss<float>;  // heads have fp32 logits
#endif

#endif  // MODERNGPT2_CUDA_KERNELS

}  // namespace moderngpt2::cuda
