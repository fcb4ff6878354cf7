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
