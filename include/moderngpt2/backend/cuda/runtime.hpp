#pragma once

// CUDA's names (threadIdx, __syncthreads, cudaMalloc, ...), from the CUDA toolkit or from the simulated GPU of simt/.
// No other header includes CUDA's runtime or driver. The rest of the backend uses CUDA's names directly and is compiled
// in one of three ways, all of which include the same headers:
//
//   compiler                                        compiles
//   nvcc                                            kernels/*.cuh
//   g++ or clang++                                  operations (*.hpp); of kernels/*.cuh only the argument structs
//   g++ or clang++, MODERNGPT2_CUDA_SIMULATED set   operations and kernels, as one program that needs no GPU
//
// All source files of a program must agree on MODERNGPT2_CUDA_SIMULATED. 16-bit elements are bf16 and f16 of
// core/dtype.hpp everywhere; kernels convert them with to_float and from_float of device.cuh.

#ifdef MODERNGPT2_CUDA_SIMULATED
#ifdef __CUDACC__
#error "MODERNGPT2_CUDA_SIMULATED is set: compile with g++ or clang++, nvcc compiles kernels for real GPUs only"
#endif
#include "moderngpt2/backend/cuda/simt/async_copy.hpp"
#include "moderngpt2/backend/cuda/simt/driver_api.hpp"
#include "moderngpt2/backend/cuda/simt/intrinsics.hpp"
#include "moderngpt2/backend/cuda/simt/matrix.hpp"
#include "moderngpt2/backend/cuda/simt/runtime_api.hpp"
#else
#if !__has_include(<cuda.h>) || !__has_include(<cuda_runtime_api.h>)
#error \
    "moderngpt2: <cuda.h> or <cuda_runtime_api.h> not found: link moderngpt2::cuda, or define MODERNGPT2_CUDA_SIMULATED"
#endif
#include <cuda.h>
#ifdef __CUDACC__
#include <cuda_runtime.h>
#else
#include <cuda_runtime_api.h>
#endif
#endif

/// Defined where the compiler can read kernels: nvcc, or any compiler with the simulated GPU.
#if defined(__CUDACC__) || defined(MODERNGPT2_CUDA_SIMULATED)
#define MODERNGPT2_CUDA_KERNELS 1
#endif
