#pragma once

#include "moderngpt2/backend/cuda/device.cuh"
#include "moderngpt2/backend/cuda/kernels/packs.cuh"
#include "moderngpt2/backend/cuda/kernels/softcap.hpp"
#include "moderngpt2/backend/cuda/launch.hpp"

namespace moderngpt2::cuda {

namespace detail {

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
void SoftCap<T>::launch(cudaStream_t stream) const {
  detail::choose_pack<T>(detail::packs(x), [&](auto n) {
    constexpr int N = decltype(n)::is;
    cuda::launch(stream, detail::softcap_kernel<T, N>, unsigned(x.count), detail::row_threads(x.width, N), 0, *this);
  });
}

MODERNGPT2_CUDA_INSTANTIATE(SoftCap);

}  // namespace moderngpt2::cuda
