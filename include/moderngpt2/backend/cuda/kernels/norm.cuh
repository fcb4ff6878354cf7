#pragma once

#include <cstdint>

#include "moderngpt2/backend/cuda/device.cuh"
#include "moderngpt2/backend/cuda/kernels/dropout.cuh"
#include "moderngpt2/backend/cuda/kernels/packs.cuh"
#include "moderngpt2/backend/cuda/kernels/reduce.cuh"
#include "moderngpt2/backend/cuda/launch.hpp"
#include "moderngpt2/backend/cuda/runtime.hpp"
#include "moderngpt2/core/abi.hpp"
#include "moderngpt2/core/dtype.hpp"
#include "moderngpt2/core/error.hpp"
#include "moderngpt2/core/view.hpp"

// Kernels of this file and the structs that launch them: argument values, views of GPU memory, and launch(stream),
// which queues the kernels. Rows are views (N,C) with strides.
namespace moderngpt2::cuda::inline MODERNGPT2_CUDA_ABI {

/// Number of groups of rows over which gradients of gains are summed separately, then in order. Depends on `rows` only,
/// so that every GPU gets the same bits; 512 blocks fill any current GPU.
inline constexpr int norm_partitions = 512;
inline int norm_parts(int rows) { return rows < norm_partitions ? rows : norm_partitions; }

// A norm without gain has null gains (w, or post and next) and null gradients of them.

/// u = x rstd (1 + w), with rstd = 1 / sqrt(mean(x^2) + eps).
template <class T>
struct RmsNorm {
  Rows<T> u;
  Rows<const T> x;
  const float* w;  ///< (C)
  float eps;

  void launch(cudaStream_t stream) const;
};

/// dx (+)= gradient of x, dw += gradient of w.
template <class T>
struct RmsNormBackward {
  Rows<T> dx;
  Rows<const T> du, x;
  const float* w;  ///< (C)
  float* dw;       ///< (C)
  float* partial;  ///< scratch (norm_parts, C)
  float eps;
  bool accumulate;

  void launch(cudaStream_t stream) const;
};

/// y = dropout(y), in place; x_out = x + norm(y, post); u = norm(x_out, next).
template <class T>
struct AddNorm {
  Rows<T> x_out, u, y;
  Rows<const T> x;
  const float *post, *next;  ///< (C)
  DropoutSite dropout;
  float eps;
  int time;  ///< rows per sequence

  void launch(cudaStream_t stream) const;
};

/// In: du, and in dx the gradient of x_out from the residual path. Out: dx, dy; dpost and dnext +=. y is the output of
/// AddNorm.
template <class T>
struct AddNormBackward {
  Rows<T> dx, dy;
  Rows<const T> du, x_out, y;
  const float *post, *next;  ///< (C)
  float *dpost, *dnext;      ///< (C)
  float* partial;            ///< scratch (norm_parts, 2, C): dnext, dpost
  DropoutSite dropout;
  float eps;
  int time;

  void launch(cudaStream_t stream) const;
};

#ifdef MODERNGPT2_CUDA_KERNELS

// One block per row; each thread keeps `items` packs of N adjacent elements in registers, so that every byte is read
// once.
namespace detail {

/// Maximum threads per block, limited by the registers of the backward kernels.
template <int N>
inline constexpr int norm_threads = N == 1 ? 1024 : 256;

/// Elements of a row that this thread holds, as floats.
template <int N, int items>
struct RowPart {
  float at[items][N];

  /// First column of pack `item` of this thread.
  static MODERNGPT2_DEVICE int column(int item) { return (item * int(blockDim.x) + int(threadIdx.x)) * N; }

  template <class T>
  MODERNGPT2_DEVICE void load(const T* row, int width) {
    for (int i = 0; i < items; ++i) {
      for (int j = 0; j < N; ++j) at[i][j] = 0;
      if (column(i) < width) unpack(row + column(i), i);
    }
  }
  template <class T>
  MODERNGPT2_DEVICE void store(T* row, int width) const {
    constexpr int n = N < pack_size<T> ? N : pack_size<T>;
    for (int i = 0; i < items; ++i)
      if (column(i) < width)
        for (int first = 0; first < N; first += n) {
          Pack<T, n> pack;
          for (int j = 0; j < n; ++j) pack.at[j] = from_float<T>(at[i][first + j]);
          store_pack(row + column(i) + first, pack);
        }
  }
  /// Rounds each element to T, as a store and a load would.
  template <class T>
  MODERNGPT2_DEVICE void round() {
    for (auto& item : at)
      for (float& x : item) x = to_float(from_float<T>(x));
  }
  /// Applies the dropout mask.
  MODERNGPT2_DEVICE void drop(const DropoutRow& row) {
    for (int i = 0; i < items; ++i) {
      const std::uint32_t bits = kept_bits<N>(row, column(i));
      for (int j = 0; j < N; ++j) at[i][j] *= bits >> j & 1 ? row.kept : 0.0f;
    }
  }

 private:
  template <class T>
  MODERNGPT2_DEVICE void unpack(const T* from, int i) {
    constexpr int n = N < pack_size<T> ? N : pack_size<T>;
    for (int first = 0; first < N; first += n) {
      const auto pack = load_pack<n>(from + first);
      for (int j = 0; j < n; ++j) at[i][first + j] = to_float(pack.at[j]);
    }
  }
};

/// Calls f(i, j) for all elements of a RowPart.
template <int N, int items, class F>
MODERNGPT2_DEVICE void each(F&& f) {
  for (int i = 0; i < items; ++i)
    for (int j = 0; j < N; ++j) f(i, j);
}

/// x = x rstd (1 + w).
template <int N, int items>
MODERNGPT2_DEVICE void normalize(RowPart<N, items>& x, const float* w, int width, float eps, BlockSums<1>& memory) {
  float squares[1] = {};
  each<N, items>([&](int i, int j) { squares[0] += x.at[i][j] * x.at[i][j]; });
  block_sum(squares, memory);
  const float rstd = 1.0f / sqrtf(squares[0] / float(width) + eps);
  RowPart<N, items> gain;
  gain.load(w, w ? width : 0);
  each<N, items>([&](int i, int j) { x.at[i][j] *= rstd * (1.0f + gain.at[i][j]); });
}

/// Replaces d, the gradient of y = x rstd (1 + w), by the gradient of x; dw += gradient of w. docs/math.md derives it.
template <int N, int items>
MODERNGPT2_DEVICE void normalize_backward(RowPart<N, items>& d, RowPart<N, items>& dw, const RowPart<N, items>& x,
                                          const float* w, int width, float eps, BlockSums<2>& memory) {
  RowPart<N, items> gain;
  gain.load(w, w ? width : 0);
  float sums[2] = {};
  each<N, items>([&](int i, int j) {
    sums[0] += x.at[i][j] * x.at[i][j];
    sums[1] += d.at[i][j] * x.at[i][j] * (1.0f + gain.at[i][j]);
  });
  block_sum(sums, memory);
  const float rstd = 1.0f / sqrtf(sums[0] / float(width) + eps);
  const float pull = sums[1] / float(width) * rstd * rstd;
  each<N, items>([&](int i, int j) {
    dw.at[i][j] += d.at[i][j] * x.at[i][j] * rstd;
    d.at[i][j] = rstd * (d.at[i][j] * (1.0f + gain.at[i][j]) - x.at[i][j] * pull);
  });
}

struct NormMemory {
  BlockSums<1> sums[2];
};
struct NormBackwardMemory {
  BlockSums<2> sums[2];
};

/// Rows of this block's group.
struct RowRange {
  int begin, end;
  MODERNGPT2_DEVICE explicit RowRange(int rows)
      : begin(int(std::int64_t(rows) * blockIdx.x / gridDim.x)),
        end(int(std::int64_t(rows) * (blockIdx.x + 1) / gridDim.x)) {}
};

template <class T, int N, int items>
__global__ void __launch_bounds__(norm_threads<N>) rms_norm_kernel(const RmsNorm<T> a) {
  auto& memory = shared<NormMemory>();
  RowPart<N, items> x;
  x.load(a.x.row(int(blockIdx.x)), a.x.width);
  normalize(x, a.w, a.x.width, a.eps, memory.sums[0]);
  x.store(a.u.row(int(blockIdx.x)), a.x.width);
}

template <class T, int N, int items>
__global__ void __launch_bounds__(norm_threads<N>) rms_norm_backward_kernel(const RmsNormBackward<T> a) {
  auto& memory = shared<NormBackwardMemory>();
  const int width = a.x.width;
  RowPart<N, items> x, d, dw{};
  const RowRange rows(a.x.count);
  for (int r = rows.begin; r < rows.end; ++r) {
    x.load(a.x.row(r), width);
    d.load(a.du.row(r), width);
    normalize_backward(d, dw, x, a.w, width, a.eps, memory.sums[r % 2]);
    if (a.accumulate) {
      x.load(static_cast<const T*>(a.dx.row(r)), width);
      each<N, items>([&](int i, int j) { d.at[i][j] += x.at[i][j]; });
    }
    d.store(a.dx.row(r), width);
  }
  dw.store(a.partial + std::int64_t(blockIdx.x) * width, width);
}

template <class T, int N, int items>
__global__ void __launch_bounds__(norm_threads<N>) add_norm_kernel(const AddNorm<T> a) {
  auto& memory = shared<NormMemory>();
  const int r = int(blockIdx.x), width = a.x.width;
  RowPart<N, items> x, y;
  y.load(static_cast<const T*>(a.y.row(r)), width);
  if (a.dropout.active()) {
    y.drop(DropoutRow(a.dropout, r / a.time, 0, std::uint32_t(r % a.time)));
    y.template round<T>();
    y.store(a.y.row(r), width);
  }
  x.load(a.x.row(r), width);
  normalize(y, a.post, width, a.eps, memory.sums[0]);
  each<N, items>([&](int i, int j) { x.at[i][j] += y.at[i][j]; });
  x.template round<T>();
  x.store(a.x_out.row(r), width);
  normalize(x, a.next, width, a.eps, memory.sums[1]);
  x.store(a.u.row(r), width);
}

template <class T, int N, int items>
__global__ void __launch_bounds__(norm_threads<N>) add_norm_backward_kernel(const AddNormBackward<T> a) {
  auto& memory = shared<NormBackwardMemory>();
  const int width = a.dx.width;
  RowPart<N, items> x, d, dnext{}, dpost{};
  const RowRange rows(a.dx.count);
  for (int r = rows.begin; r < rows.end; ++r) {
    d.load(a.du.row(r), width);
    x.load(a.x_out.row(r), width);
    normalize_backward(d, dnext, x, a.next, width, a.eps, memory.sums[0]);
    x.load(static_cast<const T*>(a.dx.row(r)), width);
    each<N, items>([&](int i, int j) { d.at[i][j] += x.at[i][j]; });
    d.template round<T>();
    d.store(a.dx.row(r), width);
    x.load(a.y.row(r), width);
    normalize_backward(d, dpost, x, a.post, width, a.eps, memory.sums[1]);
    if (a.dropout.active()) {
      d.template round<T>();
      d.drop(DropoutRow(a.dropout, r / a.time, 0, std::uint32_t(r % a.time)));
    }
    d.store(a.dy.row(r), width);
  }
  float* partial = a.partial + std::int64_t(blockIdx.x) * 2 * width;
  dnext.store(partial, width);
  dpost.store(partial + width, width);
}

/// Calls f(Constant<N>, Constant<items>, threads) with the kernel parameters for rows of `width` elements; packs of 16
/// bytes if `in_packs`, else N is 1. Throws an Error if the width is too large.
template <class T, class F>
void dispatch_norm(int width, bool in_packs, F&& f) {
  constexpr int n = pack_size<T>;
  const auto threads = [width](int each) { return (width + each * 32 - 1) / (each * 32) * 32; };
  if (in_packs && threads(n) <= norm_threads<n>)
    f(Constant<n>{}, Constant<1>{}, threads(n));
  else if (in_packs && threads(4 * n) <= norm_threads<n>)
    f(Constant<n>{}, Constant<4>{}, threads(4 * n));
  else if (threads(4) <= norm_threads<1>)
    f(Constant<1>{}, Constant<4>{}, threads(4));
  else
    throw Error(
        "norms on a GPU support an n_embd of at most 4096, or of at most {} in multiples of {} (this model has {}): "
        "use "
        "a smaller one, or the CPU",
        4 * n * norm_threads<n>, n, width);
}

}  // namespace detail

template <class T>
void RmsNorm<T>::launch(cudaStream_t stream) const {
  const bool in_packs = detail::pack_aligned(u) && detail::pack_aligned(x) && detail::pack_aligned(w, 0);
  detail::dispatch_norm<T>(x.width, in_packs, [&](auto n, auto items, int threads) {
    cuda::launch(stream, detail::rms_norm_kernel<T, decltype(n)::value, decltype(items)::value>, unsigned(x.count),
                 unsigned(threads), 0, *this);
  });
}

template <class T>
void RmsNormBackward<T>::launch(cudaStream_t stream) const {
  const bool in_packs = detail::pack_aligned(dx) && detail::pack_aligned(du) && detail::pack_aligned(x) &&
                        detail::pack_aligned(w, 0) && detail::pack_aligned(partial, 0);
  const int parts = norm_parts(x.count);
  detail::dispatch_norm<T>(x.width, in_packs, [&](auto n, auto items, int threads) {
    cuda::launch(stream, detail::rms_norm_backward_kernel<T, decltype(n)::value, decltype(items)::value>,
                 unsigned(parts), unsigned(threads), 0, *this);
  });
  if (!dw) return;
  cuda::launch(stream, detail::sum_parts_kernel<1>, unsigned(x.width + 31) / 32, 256, 0, dw, dw, partial, parts,
               x.width);
}

template <class T>
void AddNorm<T>::launch(cudaStream_t stream) const {
  const bool in_packs = detail::pack_aligned(x_out) && detail::pack_aligned(u) && detail::pack_aligned(y) &&
                        detail::pack_aligned(x) && detail::pack_aligned(post, 0) && detail::pack_aligned(next, 0);
  detail::dispatch_norm<T>(x.width, in_packs, [&](auto n, auto items, int threads) {
    cuda::launch(stream, detail::add_norm_kernel<T, decltype(n)::value, decltype(items)::value>, unsigned(x.count),
                 unsigned(threads), 0, *this);
  });
}

template <class T>
void AddNormBackward<T>::launch(cudaStream_t stream) const {
  const bool in_packs = detail::pack_aligned(dx) && detail::pack_aligned(dy) && detail::pack_aligned(du) &&
                        detail::pack_aligned(x_out) && detail::pack_aligned(y) && detail::pack_aligned(post, 0) &&
                        detail::pack_aligned(next, 0) && detail::pack_aligned(partial, 0);
  const int parts = norm_parts(dx.count);
  detail::dispatch_norm<T>(dx.width, in_packs, [&](auto n, auto items, int threads) {
    cuda::launch(stream, detail::add_norm_backward_kernel<T, decltype(n)::value, decltype(items)::value>,
                 unsigned(parts), unsigned(threads), 0, *this);
  });
  if (!dnext) return;
  cuda::launch(stream, detail::sum_parts_kernel<2>, dim3(unsigned(dx.width + 31) / 32, 2), 256, 0, dnext, dpost,
               partial, parts, dx.width);
}

MODERNGPT2_CUDA_INSTANTIATE(RmsNorm);
MODERNGPT2_CUDA_INSTANTIATE(RmsNormBackward);
MODERNGPT2_CUDA_INSTANTIATE(AddNorm);
MODERNGPT2_CUDA_INSTANTIATE(AddNormBackward);

#endif  // MODERNGPT2_CUDA_KERNELS

}  // namespace moderngpt2::cuda::inline MODERNGPT2_CUDA_ABI
