#pragma once

#include <cstdint>
#include <limits>

#include "moderngpt2/backend/calls.hpp"
#include "moderngpt2/backend/cuda/device.cuh"
#include "moderngpt2/backend/cuda/kernels/packs.cuh"
#include "moderngpt2/backend/cuda/kernels/reduce.cuh"
#include "moderngpt2/backend/cuda/launch.hpp"
#include "moderngpt2/backend/cuda/runtime.hpp"
#include "moderngpt2/core/abi.hpp"
#include "moderngpt2/core/dtype.hpp"
#include "moderngpt2/core/view.hpp"

// Kernels of this file and the structs that launch them: argument values, views of GPU memory, and launch(stream),
// which queues the kernels.
namespace moderngpt2::cuda::inline MODERNGPT2_CUDA_ABI {

/// Destination of losses: partial sums, and their total.
struct LossSum {
  float* parts;   ///< scratch, one for each row or group of elements
  double* total;  ///< (1)
  bool add;       ///< total += instead of total =
};

/// Cross-entropy of rows of logits (N,V), after c tanh(logit / c) if softcap c > 0, with the target (1 - smoothing) *
/// one_hot + smoothing / V; d = scale * gradient to the logits before the softcap. Rows labelled ignored_label have
/// loss 0 and gradient 0.
template <class T>
struct CrossEntropy {
  Rows<T> d;  ///< (N,V) or null; rows may share the addresses of those of the logits
  Rows<const float> logits;
  const int* labels;  ///< (N)
  float softcap, scale, smoothing = 0;
  LossSum sum;  ///< parts (N): the loss of each row

  void launch(cudaStream_t stream) const;
};

/// Loss of an ElementLoss: squared error, or binary cross-entropy of sigmoid(logit).
enum class ElementLossKind { squared, binary };

/// Sum of (logit - target)^2, or of the cross-entropies of sigmoid(logit) with targets in [0, 1]; d = scale * gradient.
template <class T>
struct ElementLoss {
  static constexpr int block_elements = 4096;

  ElementLossKind kind;
  Rows<T> d;  ///< (N,V) or null
  Rows<const float> logits;
  const float* targets;  ///< (N,V), contiguous
  float scale;
  LossSum sum;  ///< parts (parts(N V))

  /// Number of partial sums for this many elements.
  static int parts(std::int64_t elements) { return int((elements + block_elements - 1) / block_elements); }
  void launch(cudaStream_t stream) const;
};

/// x (N,V) = cap tanh(x / cap), in place.
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

/// Loads N logits from `column` on and applies the softcap; columns beyond the end become minus infinity.
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

/// Stores N elements from `column` on; columns beyond the end are skipped.
template <int N, class T>
MODERNGPT2_DEVICE void store_part(T* row, const float (&x)[N], int column, int width) {
  if (column + N <= width) {
    store_floats(row + column, x);
  } else {
    for (int j = 0; j < N; ++j)
      if (column + j < width) row[column + j] = from_float<T>(x[j]);
  }
}

/// Maximum of the logits so far and the sum of exp(logit - maximum), in one pass over a row (Milakov and Gimelshein
/// 2018, arXiv:1805.02867).
struct RunningSum {
  float top = -std::numeric_limits<float>::max(), sum = 0;

  template <int N>
  MODERNGPT2_DEVICE void add(const float (&x)[N]) {
    float largest = x[0];
    for (int j = 1; j < N; ++j) largest = fmaxf(largest, x[j]);
    if (largest > top) sum *= expf(top - largest), top = largest;
    for (int j = 0; j < N; ++j) sum += expf(x[j] - top);
  }
  /// Combines the results of all threads of the block.
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

/// Mean over a row's logits of logit - top, for all threads of the block.
template <int N, class T>
MODERNGPT2_DEVICE float mean_below_top(const CrossEntropy<T>& a, float top, const float* row,
                                       CrossEntropyMemory& memory) {
  const float inverse = a.softcap > 0 ? 1.0f / a.softcap : 0.0f;
  const int width = a.logits.width;
  float sums[1] = {};
  for (int column = int(threadIdx.x) * N; column < width; column += int(blockDim.x) * N) {
    float x[N];
    load_logits(x, row, column, width, a.softcap, inverse);
    for (int j = 0; j < N; ++j)
      if (column + j < width) sums[0] += x[j] - top;
  }
  __syncthreads();
  block_sum(sums, memory.sums);
  return sums[0] / float(width);
}

/// One block per row. The second pass, for the gradient, finds the row in the L2 cache.
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
  // Not top + log(sum) - logit: with logits around 100 its rounding error would dominate a small loss.
  float at_target = at_label[0] - of_row.top;
  if (a.smoothing > 0)  // a third pass: with smoothing only
    at_target = (1.0f - a.smoothing) * at_target + a.smoothing * mean_below_top<N>(a, of_row.top, row, memory);
  if (threadIdx.x == 0) a.sum.parts[r] = logf(of_row.sum) - at_target;
  if (!a.d.data) return;
  const float share = a.scale / of_row.sum, spread = a.scale * a.smoothing / float(width);
  const float of_label = a.scale * (1.0f - a.smoothing);
  T* const d = a.d.row(r);
  __syncthreads();
  for (int first = 0; first < width; first += step * items) {
    float x[items][N];
    for (int i = 0; i < items; ++i) load_logits(x[i], row, first + i * step + mine, width, cap, inverse);
    // Shorter elements in the same memory overwrite logits that other threads read in this iteration.
    if constexpr (sizeof(T) < sizeof(float)) __syncthreads();
    for (int i = 0; i < items; ++i) {
      const int column = first + i * step + mine;
      for (int j = 0; j < N; ++j) {
        const float tanh = x[i][j] * inverse, slope = 1.0f - tanh * tanh;
        const float probability = (expf(x[i][j] - of_row.top) * share - spread) * slope;
        x[i][j] = column + j == label ? probability - of_label * slope : probability;
      }
      store_part(d, x[i], column, width);
    }
  }
}

struct TotalMemory {
  double sums[256];
};

/// total (+)= sum of parts (n), in a fixed order, by one block.
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

/// Adjacent threads handle adjacent elements, without packs: rows of heads are few, narrow and not aligned.
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
template struct ElementLoss<float>;  // logits of heads are fp32
#endif

#endif  // MODERNGPT2_CUDA_KERNELS

}  // namespace moderngpt2::cuda::inline MODERNGPT2_CUDA_ABI
