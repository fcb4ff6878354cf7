#pragma once

// The only header that sees CUDA's, but for cublaslt.hpp. Everything else of the backend is written in CUDA's own words
// (threadIdx, __syncthreads, cudaMallocAsync, ...) and compiles in three ways:
//
//   nvcc                                 kernels/*.cuh, for the GPU
//   g++ or clang++                       launchers and all that calls them, against CUDA's host API
//   g++ or clang++ with the simulator    both, as one program without a GPU (MODERNGPT2_CUDA_SIMULATED defined)
//
// Everything in a program has to agree on the last one. Elements of 16 bits are core/dtype.hpp's bf16 and f16 in every
// way of compiling: storage with the same bits; kernels convert by device.cuh's to_float and from_float, which are one
// instruction on a GPU.

#ifdef MODERNGPT2_CUDA_SIMULATED
#ifdef __CUDACC__
#error "MODERNGPT2_CUDA_SIMULATED is for g++ and clang++: nvcc compiles the kernels themselves"
#endif
#include "moderngpt2/backend/cuda/simt/async_copy.hpp"
#include "moderngpt2/backend/cuda/simt/driver_api.hpp"
#include "moderngpt2/backend/cuda/simt/intrinsics.hpp"
#include "moderngpt2/backend/cuda/simt/matrix.hpp"
#include "moderngpt2/backend/cuda/simt/runtime_api.hpp"
#else
#if !defined(__CUDACC__) && defined(__has_include)
#if !__has_include(<cuda_runtime_api.h>)
#error "cuda_runtime_api.h is not here: link moderngpt2::cuda, or define MODERNGPT2_CUDA_SIMULATED to run without a GPU"
#endif
#endif
#include <cuda.h>
#ifdef __CUDACC__
#include <cuda_runtime.h>
#else
#include <cuda_runtime_api.h>
#endif
#endif

/// Whether kernels can be defined here: nvcc and the simulator, not the launchers' compiler.
#if defined(__CUDACC__) || defined(MODERNGPT2_CUDA_SIMULATED)
#define MODERNGPT2_CUDA_KERNELS 1
#endif
