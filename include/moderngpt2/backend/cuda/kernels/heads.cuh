#pragma once

#include <cstdint>

#include "moderngpt2/backend/cuda/device.cuh"
#include "moderngpt2/backend/cuda/kernels/activations.cuh"
#include "moderngpt2/backend/cuda/kernels/packs.cuh"
#include "moderngpt2/backend/cuda/launch.hpp"
#include "moderngpt2/backend/cuda/runtime.hpp"
#include "moderngpt2/config/model_shape.hpp"
#include "moderngpt2/core/abi.hpp"
#include "moderngpt2/core/dtype.hpp"
#include "moderngpt2/core/view.hpp"

// Kernels of this file and the structs that launch them: argument values, views of GPU memory, and launch(stream),
// which queues the kernels. Rows are few, so elements are accessed one by one.
namespace moderngpt2::cuda::inline MODERNGPT2_CUDA_ABI {

/// y (N,C) = kind(x), or with `slope` y *= kind'(x).
template <class T>
struct ActivateRows {
  Rows<T> y;
  Rows<const T> x;
  Activation kind;
  bool slope;

  void launch(cudaStream_t stream) const;
};

/// out (n,C) = mean of each N / n consecutive rows of x (N,C).
template <class T>
struct MeanRows {
  Rows<T> out;
  Rows<const T> x;

  void launch(cudaStream_t stream) const;
};

/// dx (N,C) += dout (n,C) n / N.
template <class T>
struct MeanRowsBackward {
  Rows<T> dx;
  Rows<const T> dout;

  void launch(cudaStream_t stream) const;
};

#ifdef MODERNGPT2_CUDA_KERNELS

// One block per row; a thread handles every blockDim.x-th element.
namespace detail {

template <class T, class A>
__global__ void __launch_bounds__(256) activate_rows_kernel(const ActivateRows<T> a) {
  const T* x = a.x.row(int(blockIdx.x));
  T* y = a.y.row(int(blockIdx.x));
  for (int i = int(threadIdx.x); i < a.y.width; i += int(blockDim.x))
    with_formula<A>(a.kind, [&]<class Formula>() {
      const ActivationAt at = Formula::at(to_float(x[i]));
      y[i] = from_float<T>(a.slope ? to_float(y[i]) * at.slope : at.value);
    });
}

template <class T>
__global__ void __launch_bounds__(256) mean_rows_kernel(const MeanRows<T> a) {
  const int r = int(blockIdx.x), each = a.x.count / a.out.count;
  for (int i = int(threadIdx.x); i < a.out.width; i += int(blockDim.x)) {
    float sum = 0;
    for (int t = 0; t < each; ++t) sum += to_float(a.x.row(r * each + t)[i]);
    a.out.row(r)[i] = from_float<T>(sum / float(each));
  }
}

template <class T>
__global__ void __launch_bounds__(256) mean_rows_backward_kernel(const MeanRowsBackward<T> a) {
  const int r = int(blockIdx.x), each = a.dx.count / a.dout.count;
  const T* from = a.dout.row(r / each);
  T* to = a.dx.row(r);
  for (int i = int(threadIdx.x); i < a.dx.width; i += int(blockDim.x))
    to[i] = from_float<T>(to_float(to[i]) + to_float(from[i]) / float(each));
}

template <class A, class T>
void launch_formula(const ActivateRows<T>& a, cudaStream_t stream) {
  cuda::launch(stream, activate_rows_kernel<T, A>, unsigned(a.y.count), row_threads(a.y.width, 1), 0, a);
}

}  // namespace detail

template <class T>
void ActivateRows<T>::launch(cudaStream_t stream) const {
  detail::launch_formula<detail::BuiltInFormulas>(*this, stream);
}

template <class T>
void MeanRows<T>::launch(cudaStream_t stream) const {
  cuda::launch(stream, detail::mean_rows_kernel<T>, unsigned(out.count), detail::row_threads(out.width, 1), 0, *this);
}

template <class T>
void MeanRowsBackward<T>::launch(cudaStream_t stream) const {
  cuda::launch(stream, detail::mean_rows_backward_kernel<T>, unsigned(dx.count), detail::row_threads(dx.width, 1), 0,
               *this);
}

MODERNGPT2_CUDA_INSTANTIATE(ActivateRows);
MODERNGPT2_CUDA_INSTANTIATE(MeanRows);
MODERNGPT2_CUDA_INSTANTIATE(MeanRowsBackward);

#endif  // MODERNGPT2_CUDA_KERNELS

}  // namespace moderngpt2::cuda::inline MODERNGPT2_CUDA_ABI
