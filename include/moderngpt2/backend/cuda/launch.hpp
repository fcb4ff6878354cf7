#pragma once

#include <cstddef>
#include <source_location>
#include <utility>

#include "moderngpt2/backend/cuda/check.hpp"
#include "moderngpt2/core/abi.hpp"

namespace moderngpt2::cuda::inline MODERNGPT2_CUDA_ABI {

#ifdef MODERNGPT2_CUDA_KERNELS
/// Queues kernel(arguments...) on `stream` for grid x block threads, each block with `shared_bytes` bytes of dynamic
/// shared memory. Raises the kernel's limit above the default of 48 KiB where necessary. Throws an Error if the launch
/// is refused, for example because the GPU has less shared memory.
template <class... Parameters, class... Arguments>
void launch(cudaStream_t stream, void (*kernel)(Parameters...), dim3 grid, dim3 block, std::size_t shared_bytes,
            Arguments&&... arguments) {
  static_assert((sizeof(Parameters) + ... + 0) <= 4096, "kernel parameters are limited to 4 KiB");
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

}  // namespace moderngpt2::cuda::inline MODERNGPT2_CUDA_ABI

/// MODERNGPT2_CUDA_INSTANTIATE(entry) stands at the end of kernels/NAME.cuh, once for each argument struct: nvcc
/// compiles its launch() and kernels for float, bf16 and f16. The build compiles each kernels/*.cuh that contains a
/// line which starts with this macro. The simulated GPU instantiates what is called and needs no list, and files with
/// kernels of a program (MODERNGPT2_CUDA_USER_KERNELS) contain none of the library's.
#if defined(__CUDACC__) && !defined(MODERNGPT2_CUDA_USER_KERNELS)
#define MODERNGPT2_CUDA_INSTANTIATE(entry)   \
  template struct entry<float>;              \
  template struct entry<::moderngpt2::bf16>; \
  template struct entry<::moderngpt2::f16>
/// Instantiates an argument struct for bf16 and f16 only.
#define MODERNGPT2_CUDA_INSTANTIATE_SHORT(entry) \
  template struct entry<::moderngpt2::bf16>;     \
  template struct entry<::moderngpt2::f16>
/// Instantiates an argument struct for float only.
#define MODERNGPT2_CUDA_INSTANTIATE_FLOAT(entry) template struct entry<float>
#else
#define MODERNGPT2_CUDA_INSTANTIATE(entry) static_assert(true)
#define MODERNGPT2_CUDA_INSTANTIATE_FLOAT(entry) static_assert(true)
#define MODERNGPT2_CUDA_INSTANTIATE_SHORT(entry) static_assert(true)
#endif
