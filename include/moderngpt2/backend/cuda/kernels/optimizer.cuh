#pragma once

#include <cstdint>

#include "moderngpt2/backend/cuda/device.cuh"
#include "moderngpt2/backend/cuda/kernels/optimizer.hpp"
#include "moderngpt2/backend/cuda/kernels/packs.cuh"
#include "moderngpt2/backend/cuda/launch.hpp"

// A thread has one pack of neighbours; sums of squares go round after round over the packs.
namespace moderngpt2::cuda {

namespace detail {

/// First element of this thread's pack of N.
template <int N>
MODERNGPT2_DEVICE std::int64_t first_of_pack() {
  return (std::int64_t(blockIdx.x) * blockDim.x + threadIdx.x) * N;
}

template <class T>
__global__ void __launch_bounds__(256) fill_kernel(const Fill<T> a, bool in_packs) {
  constexpr int n = pack_size<T>;
  const std::int64_t at = first_of_pack<n>(), count = a.n - at;
  if (in_packs && count >= n) {
    Pack<T, n> pack;
    for (T& x : pack.at) x = a.value;
    store_pack(a.x + at, pack);
  } else {
    for (int i = 0; i < n; ++i)
      if (i < count) a.x[at + i] = a.value;
  }
}

/// N: of the shorter type.
template <int N, class To, class From>
__global__ void __launch_bounds__(256) cast_kernel(To* to, const From* from, std::int64_t n, bool in_packs) {
  const std::int64_t at = first_of_pack<N>(), count = n - at;
  if (count <= 0) return;
  float x[N];
  load_floats(x, from + at, count, in_packs);
  store_floats(to + at, x, count, in_packs);
}

template <class T>
__global__ void __launch_bounds__(256) add_kernel(const AddTo<T> a, bool in_packs) {
  constexpr int n = pack_size<T>;
  const std::int64_t at = first_of_pack<n>(), count = a.n - at;
  if (count <= 0) return;
  float x[n], y[n];
  load_floats(x, a.to + at, count, in_packs);
  load_floats(y, a.from + at, count, in_packs);
  for (int i = 0; i < n; ++i) x[i] += y[i];
  store_floats(a.to + at, x, count, in_packs);
}

struct SquareMemory {
  double of_warp[square_threads / 32];
};

/// The sum over the block, in its first thread.
MODERNGPT2_DEVICE double sum_in_order(double x, SquareMemory& memory) {
  for (int by = 16; by > 0; by /= 2) x += __shfl_xor_sync(full_mask, x, by);
  if (threadIdx.x % 32 == 0) memory.of_warp[threadIdx.x / 32] = x;
  __syncthreads();
  double sum = 0;
  if (threadIdx.x == 0)
    for (double part : memory.of_warp) sum += part;
  return sum;
}

/// Squares are added in fp32 within a pack, in double from there.
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

/// sum (+)= the parts, each thread every 256th of them.
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
  for (int i = 0; i < a.count; ++i) sum += __dmul_rn(*a.values[i], a.factors[i]);  // rounded, as on the host
  *a.to += sum;
}

template <class T>
__global__ void __launch_bounds__(32) decide_update_kernel(const DecideUpdate<T> a) {
  if (threadIdx.x > 0) return;
  const T norm = sqrt(*a.squares) / a.rule.loss_scale;
  *a.decision = {.gradient_scale = float(a.rule.gradient_scale(norm)), .applies = UpdateRule::applies(*a.loss, norm)};
}

/// As backend/cpu/optimizer.hpp: first = beta1 first + (1 - beta1) g, ...
template <class T>
__global__ void __launch_bounds__(256) adamw_kernel(const AdamW<T> a, bool in_packs) {
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

/// Threads and blocks for n elements in packs of N.
template <int N>
struct Grid {
  unsigned threads, blocks;
  explicit Grid(std::int64_t n)
      : threads(unsigned(threads_for((n + N - 1) / N))), blocks(blocks_for((n + N - 1) / N)) {}
};

}  // namespace detail

template <class T>
void Fill<T>::launch(cudaStream_t stream) const {
  const detail::Grid<pack_size<T>> grid(n);
  cuda::launch(stream, detail::fill_kernel<T>, grid.blocks, grid.threads, 0, *this, detail::packs(x, 0));
}

template <class T>
void CastFromFloat<T>::launch(cudaStream_t stream) const {
  const detail::Grid<pack_size<T>> grid(n);
  cuda::launch(stream, detail::cast_kernel<pack_size<T>, T, float>, grid.blocks, grid.threads, 0, to, from, n,
               detail::packs(to, 0) && detail::packs(from, 0));
}

template <class T>
void CastToFloat<T>::launch(cudaStream_t stream) const {
  const detail::Grid<pack_size<T>> grid(n);
  cuda::launch(stream, detail::cast_kernel<pack_size<T>, float, T>, grid.blocks, grid.threads, 0, to, from, n,
               detail::packs(to, 0) && detail::packs(from, 0));
}

template <class T>
void AddTo<T>::launch(cudaStream_t stream) const {
  const detail::Grid<pack_size<T>> grid(n);
  cuda::launch(stream, detail::add_kernel<T>, grid.blocks, grid.threads, 0, *this,
               detail::packs(to, 0) && detail::packs(from, 0));
}

template <class T>
void SumOfSquares<T>::launch(cudaStream_t stream) const {
  const int parts = square_parts<T>(n);
  cuda::launch(stream, detail::squares_kernel<T>, unsigned(parts), square_threads, 0, *this, detail::packs(x, 0));
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
void AdamW<T>::launch(cudaStream_t stream) const {
  const detail::Grid<pack_size<float>> grid(n);
  const bool in_packs = detail::packs(weight, 0) && detail::packs(first, 0) && detail::packs(second, 0) &&
                        detail::packs(gradient, 0) && detail::packs(rounded, 0);
  cuda::launch(stream, detail::adamw_kernel<T>, grid.blocks, grid.threads, 0, *this, in_packs);
}

MODERNGPT2_CUDA_INSTANTIATE(Fill);
MODERNGPT2_CUDA_INSTANTIATE(CastFromFloat);
MODERNGPT2_CUDA_INSTANTIATE(CastToFloat);
MODERNGPT2_CUDA_INSTANTIATE_FLOAT(AddTo);
MODERNGPT2_CUDA_INSTANTIATE(SumOfSquares);
MODERNGPT2_CUDA_INSTANTIATE(AdamW);
#ifdef __CUDACC__
template struct AddLosses<double>;
template struct DecideUpdate<double>;
#endif

}  // namespace moderngpt2::cuda
