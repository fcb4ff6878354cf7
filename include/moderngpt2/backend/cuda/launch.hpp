#pragma once

#include <cstddef>
#include <source_location>
#include <utility>

#include "moderngpt2/backend/cuda/check.hpp"

namespace moderngpt2::cuda {

#ifdef MODERNGPT2_CUDA_KERNELS
/// Queues kernel(arguments...) on `stream` for grid x block threads with `shared_bytes` of dynamic shared memory each
/// block. More than 48 KiB are asked for as CUDA wants it; more than the GPU has is an Error.
template <class... Parameters, class... Arguments>
void launch(cudaStream_t stream, void (*kernel)(Parameters...), dim3 grid, dim3 block, std::size_t shared_bytes,
            Arguments&&... arguments) {
  static_assert((sizeof(Parameters) + ... + 0) <= 4096, "a kernel takes at most 4 KiB of parameters");
  if (shared_bytes > 48 * 1024)
    check(cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, int(shared_bytes)),
          "cudaFuncSetAttribute(MaxDynamicSharedMemorySize)");
#ifdef __CUDACC__
  kernel<<<grid, block, shared_bytes, stream>>>(std::forward<Arguments>(arguments)...);
  check(cudaGetLastError(), "a kernel launch");
#else
  check(simt::launch_kernel(stream, kernel, grid, block, shared_bytes, std::forward<Arguments>(arguments)...),
        "a kernel launch");
#endif
}
#endif

}  // namespace moderngpt2::cuda

/// At the end of kernels/NAME.cuh, for each entry struct of kernels/NAME.hpp: what nvcc compiles of it. The simulator
/// needs none of it, it instantiates what is called.
#ifdef __CUDACC__
#define MODERNGPT2_CUDA_INSTANTIATE(entry)   \
  template struct entry<float>;              \
  template struct entry<::moderngpt2::bf16>; \
  template struct entry<::moderngpt2::f16>
/// The same for an entry that has no form for float.
#define MODERNGPT2_CUDA_INSTANTIATE_SHORT(entry) \
  template struct entry<::moderngpt2::bf16>;     \
  template struct entry<::moderngpt2::f16>
/// And for one of float alone.
#define MODERNGPT2_CUDA_INSTANTIATE_FLOAT(entry) template struct entry<float>
#else
#define MODERNGPT2_CUDA_INSTANTIATE(entry) static_assert(true)
#define MODERNGPT2_CUDA_INSTANTIATE_FLOAT(entry) static_assert(true)
#define MODERNGPT2_CUDA_INSTANTIATE_SHORT(entry) static_assert(true)
#endif
