#pragma once

#include <cstdint>

#include "moderngpt2/backend/calls.hpp"
#include "moderngpt2/backend/cuda/device.cuh"
#include "moderngpt2/backend/cuda/kernels/packs.cuh"
#include "moderngpt2/backend/cuda/launch.hpp"
#include "moderngpt2/core/abi.hpp"
#include "moderngpt2/core/dtype.hpp"

// Kernels of this file and the structs that launch them: argument values, views of GPU memory, and launch(stream),
// which queues the kernels.
namespace moderngpt2::cuda::inline MODERNGPT2_CUDA_ABI {

/// Number of partial sums for the squares of n elements of T. The partition depends on n only, so that every GPU gets
/// the same bits.
inline constexpr int max_square_parts = 1024, square_threads = 256;
template <class T>
int square_parts(std::int64_t n) {
  constexpr std::int64_t each = std::int64_t(square_threads) * 16 / std::int64_t(sizeof(T));
  const std::int64_t parts = (n + each - 1) / each;
  return parts < max_square_parts ? int(parts) : max_square_parts;
}

/// sum (1) (+)= sum of the squares of x (n).
template <class T>
struct SumOfSquares {
  const T* x;
  std::int64_t n;
  double* partial;  ///< scratch (square_parts<T>(n))
  double* sum;
  bool add;  ///< sum += instead of sum =

  void launch(cudaStream_t stream) const;
};

/// to (1) += sum of values[i] * factors[i] over the first `count` terms.
template <class T>
struct AddLosses {
  static constexpr int max_terms = 2;

  T* to;
  int count;
  const T* values[max_terms];  ///< (1) each
  T factors[max_terms];

  void launch(cudaStream_t stream) const;
};

/// decision (1) = the rule applied to the loss (1) of a step and the sum of squares (1) of its gradients.
template <class T>
struct DecideUpdate {
  const T *loss, *squares;
  UpdateRule rule;
  UpdateDecision* decision;

  void launch(cudaStream_t stream) const;
};

/// Factors of an AdamW step, derived from backend/calls.hpp's AdamWStep.
struct AdamWFactors {
  float gradient_scale;
  float beta1, rest1;  ///< rest1: 1 - beta1
  float beta2, rest2;
  float epsilon;
  float rate;  ///< learning rate / (1 - beta1^step)
  float root;  ///< 1 / sqrt(1 - beta2^step)
  float keep;  ///< 1 - learning rate * weight decay
};

/// AdamW step on n fp32 weights (Loshchilov and Hutter 2019, arXiv:1711.05101). Writes nothing if the decision says so.
template <class T>
struct AdamWUpdate {
  float *weight, *first, *second;  ///< (n)
  const float* gradient;           ///< (n)
  T* rounded;                      ///< (n) copy of the new weights in T, or null
  std::int64_t n;
  const UpdateDecision* decision;  ///< (1) overrides factors.gradient_scale, or null
  AdamWFactors factors;

  void launch(cudaStream_t stream) const;
};

#ifdef MODERNGPT2_CUDA_KERNELS

// A thread handles one pack of 16 bytes; for sums of squares, packs at a stride of the whole grid.
namespace detail {

struct SquareMemory {
  double of_warp[square_threads / 32];
};

/// Sum over the block, valid in its first thread.
MODERNGPT2_DEVICE double sum_in_order(double x, SquareMemory& memory) {
  for (int by = 16; by > 0; by /= 2) x += __shfl_xor_sync(full_mask, x, by);
  if (threadIdx.x % 32 == 0) memory.of_warp[threadIdx.x / 32] = x;
  __syncthreads();
  double sum = 0;
  if (threadIdx.x == 0)
    for (double part : memory.of_warp) sum += part;
  return sum;
}

/// Adds squares in fp32 within a pack and in double beyond.
template <class T>
__global__ void __launch_bounds__(square_threads) squares_kernel(const SumOfSquares<T> a, bool in_packs) {
  constexpr int n = pack_size<T>;
  auto& memory = shared<SquareMemory>();
  double sum = 0;
  for (std::int64_t at = first_of_pack<n>(); at < a.n; at += std::int64_t(gridDim.x) * square_threads * n) {
    float x[n], squares = 0;
    load_floats(x, a.x + at, a.n - at, in_packs);
    for (int i = 0; i < n; ++i) squares += x[i] * x[i];
    sum += double(squares);
  }
  sum = sum_in_order(sum, memory);
  if (threadIdx.x == 0) a.partial[blockIdx.x] = sum;
}

/// sum (+)= sum of the partial sums; each thread adds every 256th.
template <int threads>
__global__ void __launch_bounds__(threads) sum_squares_kernel(double* sum, const double* partial, int parts, bool add) {
  auto& memory = shared<SquareMemory>();
  double mine = 0;
  for (int part = int(threadIdx.x); part < parts; part += threads) mine += partial[part];
  mine = sum_in_order(mine, memory);
  if (threadIdx.x == 0) *sum = add ? *sum + mine : mine;
}

template <class T>
__global__ void __launch_bounds__(32) add_losses_kernel(const AddLosses<T> a) {
  if (threadIdx.x > 0) return;
  T sum = 0;
  for (int i = 0; i < a.count; ++i) sum += __dmul_rn(*a.values[i], a.factors[i]);  // no FMA, as on the host
  *a.to += sum;
}

template <class T>
__global__ void __launch_bounds__(32) decide_update_kernel(const DecideUpdate<T> a) {
  if (threadIdx.x > 0) return;
  const T norm = sqrt(*a.squares) / a.rule.loss_scale;
  *a.decision = {.gradient_scale = float(a.rule.gradient_scale(norm)), .applies = UpdateRule::applies(*a.loss, norm)};
}

/// Formulas as in backend/cpu/optimizer.hpp.
template <class T>
__global__ void __launch_bounds__(256) adamw_kernel(const AdamWUpdate<T> a, bool in_packs) {
  constexpr int n = pack_size<float>;
  const std::int64_t at = first_of_pack<n>(), count = a.n - at;
  if (count <= 0) return;
  const AdamWFactors& f = a.factors;
  if (a.decision && !a.decision->applies) return;
  const float scale = a.decision ? a.decision->gradient_scale : f.gradient_scale;
  float w[n], m[n], v[n], g[n];
  load_floats(g, a.gradient + at, count, in_packs);
  load_floats(m, a.first + at, count, in_packs);
  load_floats(v, a.second + at, count, in_packs);
  load_floats(w, a.weight + at, count, in_packs);
  for (int i = 0; i < n; ++i) {
    const float gradient = g[i] * scale;
    m[i] = f.beta1 * m[i] + f.rest1 * gradient;
    v[i] = f.beta2 * v[i] + f.rest2 * gradient * gradient;
    w[i] = w[i] * f.keep - f.rate * m[i] / (sqrtf(v[i]) * f.root + f.epsilon);
  }
  store_floats(a.first + at, m, count, in_packs);
  store_floats(a.second + at, v, count, in_packs);
  store_floats(a.weight + at, w, count, in_packs);
  if (a.rounded) store_floats(a.rounded + at, w, count, in_packs);
}

}  // namespace detail

template <class T>
void SumOfSquares<T>::launch(cudaStream_t stream) const {
  const int parts = square_parts<T>(n);
  cuda::launch(stream, detail::squares_kernel<T>, unsigned(parts), square_threads, 0, *this,
               detail::pack_aligned(x, 0));
  cuda::launch(stream, detail::sum_squares_kernel<square_threads>, 1, square_threads, 0, sum, partial, parts, add);
}

template <class T>
void AddLosses<T>::launch(cudaStream_t stream) const {
  cuda::launch(stream, detail::add_losses_kernel<T>, 1, 32, 0, *this);
}

template <class T>
void DecideUpdate<T>::launch(cudaStream_t stream) const {
  cuda::launch(stream, detail::decide_update_kernel<T>, 1, 32, 0, *this);
}

template <class T>
void AdamWUpdate<T>::launch(cudaStream_t stream) const {
  const detail::Grid<pack_size<float>> grid(n);
  const bool in_packs = detail::pack_aligned(weight, 0) && detail::pack_aligned(first, 0) &&
                        detail::pack_aligned(second, 0) && detail::pack_aligned(gradient, 0) &&
                        detail::pack_aligned(rounded, 0);
  cuda::launch(stream, detail::adamw_kernel<T>, grid.blocks, grid.threads, 0, *this, in_packs);
}

MODERNGPT2_CUDA_INSTANTIATE(SumOfSquares);
MODERNGPT2_CUDA_INSTANTIATE(AdamWUpdate);
#ifdef __CUDACC__
template struct AddLosses<double>;
template struct DecideUpdate<double>;
#endif

#endif  // MODERNGPT2_CUDA_KERNELS

}  // namespace moderngpt2::cuda::inline MODERNGPT2_CUDA_ABI
