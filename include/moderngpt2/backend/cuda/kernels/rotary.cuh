#pragma once

#include <cstdint>

#include "moderngpt2/backend/cuda/device.cuh"
#include "moderngpt2/backend/cuda/kernels/packs.cuh"
#include "moderngpt2/backend/cuda/launch.hpp"
#include "moderngpt2/backend/cuda/runtime.hpp"
#include "moderngpt2/core/abi.hpp"
#include "moderngpt2/core/dtype.hpp"
#include "moderngpt2/core/view.hpp"

// Kernels of this file and the structs that launch them: argument values, views of GPU memory, and launch(stream),
// which queues the kernels.
namespace moderngpt2::cuda::inline MODERNGPT2_CUDA_ABI {

/// Rotates each pair (x[i], x[i + D/2]) of each head by the angle of its row's position past + row % time, then
/// multiplies by `scale`, in place (Su et al. 2021, arXiv:2104.09864; pairs as in GPT-NeoX).
template <class T>
struct Rotary {
  Rows<T> heads;               ///< (BT,HD)
  const float *cosine, *sine;  ///< (positions, D/2)
  int half;                    ///< D/2
  int time, past;
  const int* pasts;  ///< (B) past of each sequence; null: `past` for all
  float scale;
  bool back;  ///< rotates by the negative angle, for the backward pass

  void launch(cudaStream_t stream) const;
};

#ifdef MODERNGPT2_CUDA_KERNELS

// A thread handles one pack of 16 bytes in the lower half of a head and its partner in the upper half. Grid: (rows,
// parts of a row).
namespace detail {

template <class T>
__global__ void __launch_bounds__(256) rotary_kernel(const Rotary<T> a, bool in_packs) {
  constexpr int n = pack_size<T>;
  const int packs = (a.half + n - 1) / n, pack = int(blockIdx.y * blockDim.x + threadIdx.x);
  const int head = pack / packs, first = pack % packs * n, count = a.half - first;
  if (head * 2 * a.half >= a.heads.width) return;
  const int r = int(blockIdx.x);
  const int past = a.pasts ? a.pasts[r / a.time] : a.past;
  const std::int64_t angle = std::int64_t(past + r % a.time) * a.half + first;
  T *low_at = a.heads.row(r) + head * 2 * a.half + first, *high_at = low_at + a.half;
  float low[n], high[n], cosine[n], sine[n];
  load_floats(low, low_at, count, in_packs);
  load_floats(high, high_at, count, in_packs);
  load_floats(cosine, a.cosine + angle, count, in_packs);
  load_floats(sine, a.sine + angle, count, in_packs);
  const float sine_scale = a.back ? -a.scale : a.scale;
  for (int i = 0; i < n; ++i) {
    const float c = cosine[i] * a.scale, s = sine[i] * sine_scale, x = low[i];
    low[i] = x * c - high[i] * s;
    high[i] = high[i] * c + x * s;
  }
  store_floats(low_at, low, count, in_packs);
  store_floats(high_at, high, count, in_packs);
}

}  // namespace detail

template <class T>
void Rotary<T>::launch(cudaStream_t stream) const {
  const std::int64_t packs = std::int64_t(heads.width / (2 * half)) * ((half + pack_size<T> - 1) / pack_size<T>);
  const bool in_packs = detail::pack_aligned(heads) && half % pack_size<T> == 0 && detail::pack_aligned(cosine, 0) &&
                        detail::pack_aligned(sine, 0);
  cuda::launch(stream, detail::rotary_kernel<T>, dim3(unsigned(heads.count), detail::blocks_for(packs)),
               unsigned(detail::threads_for(packs)), 0, *this, in_packs);
}

MODERNGPT2_CUDA_INSTANTIATE(Rotary);

#endif  // MODERNGPT2_CUDA_KERNELS

}  // namespace moderngpt2::cuda::inline MODERNGPT2_CUDA_ABI
