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
// which queues the kernels.
namespace moderngpt2::cuda::inline MODERNGPT2_CUDA_ABI {

/// h = a(gate) * up.
template <class T>
struct GatedActivation {
  Rows<T> h;              ///< (N,F)
  Rows<const T> gate_up;  ///< (N,2F)
  Activation activation;

  void launch(cudaStream_t stream) const;
};

/// d_gate = dh * up * a'(gate), d_up = dh * a(gate).
template <class T>
struct GatedActivationBackward {
  Rows<T> d_gate_up;      ///< (N,2F); may be gate_up
  Rows<const T> dh;       ///< (N,F)
  Rows<const T> gate_up;  ///< (N,2F)
  Activation activation;

  void launch(cudaStream_t stream) const;
};

#ifdef MODERNGPT2_CUDA_KERNELS

// A thread handles one pack of 16 bytes. Grid: (rows, parts of a row).
namespace detail {

template <class T, class A>
__global__ void __launch_bounds__(256) gated_activation_kernel(const GatedActivation<T> a, bool in_packs) {
  constexpr int n = pack_size<T>;
  const int r = int(blockIdx.x), width = a.h.width;
  const int column = int(blockIdx.y * blockDim.x + threadIdx.x) * n, count = width - column;
  if (count <= 0) return;
  const T* gate_at = a.gate_up.row(r) + column;
  float gate[n], up[n];
  load_floats(gate, gate_at, count, in_packs);
  load_floats(up, gate_at + width, count, in_packs);
  with_formula<A>(a.activation, [&]<class Formula>() {
    for (int i = 0; i < n; ++i) up[i] *= Formula::at(gate[i]).value;
  });
  store_floats(a.h.row(r) + column, up, count, in_packs);
}

template <class T, class A>
__global__ void __launch_bounds__(256)
    gated_activation_backward_kernel(const GatedActivationBackward<T> a, bool in_packs) {
  constexpr int n = pack_size<T>;
  const int r = int(blockIdx.x), width = a.dh.width;
  const int column = int(blockIdx.y * blockDim.x + threadIdx.x) * n, count = width - column;
  if (count <= 0) return;
  const T* gate_at = a.gate_up.row(r) + column;
  float gate[n], up[n], d[n];
  load_floats(gate, gate_at, count, in_packs);
  load_floats(up, gate_at + width, count, in_packs);
  load_floats(d, a.dh.row(r) + column, count, in_packs);
  with_formula<A>(a.activation, [&]<class Formula>() {
    for (int i = 0; i < n; ++i) {
      const ActivationAt at = Formula::at(gate[i]);
      gate[i] = d[i] * up[i] * at.slope;
      up[i] = d[i] * at.value;
    }
  });
  T* d_gate_at = a.d_gate_up.row(r) + column;
  store_floats(d_gate_at, gate, count, in_packs);
  store_floats(d_gate_at + width, up, count, in_packs);
}

template <class A, class T>
void launch_formula(const GatedActivation<T>& a, cudaStream_t stream) {
  const std::int64_t packs = (a.h.width + pack_size<T> - 1) / pack_size<T>;
  cuda::launch(stream, gated_activation_kernel<T, A>, dim3(unsigned(a.h.count), blocks_for(packs)),
               unsigned(threads_for(packs)), 0, a, pack_aligned(a.h) && pack_aligned(a.gate_up));
}

template <class A, class T>
void launch_formula(const GatedActivationBackward<T>& a, cudaStream_t stream) {
  const std::int64_t packs = (a.dh.width + pack_size<T> - 1) / pack_size<T>;
  cuda::launch(stream, gated_activation_backward_kernel<T, A>, dim3(unsigned(a.dh.count), blocks_for(packs)),
               unsigned(threads_for(packs)), 0, a,
               pack_aligned(a.d_gate_up) && pack_aligned(a.dh) && pack_aligned(a.gate_up));
}

}  // namespace detail

template <class T>
void GatedActivation<T>::launch(cudaStream_t stream) const {
  detail::launch_formula<detail::BuiltInFormulas>(*this, stream);
}

template <class T>
void GatedActivationBackward<T>::launch(cudaStream_t stream) const {
  detail::launch_formula<detail::BuiltInFormulas>(*this, stream);
}

MODERNGPT2_CUDA_INSTANTIATE(GatedActivation);
MODERNGPT2_CUDA_INSTANTIATE(GatedActivationBackward);

#endif  // MODERNGPT2_CUDA_KERNELS

}  // namespace moderngpt2::cuda::inline MODERNGPT2_CUDA_ABI
