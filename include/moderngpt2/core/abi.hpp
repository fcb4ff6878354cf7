#pragma once

// Names of inline namespaces that hold all code that depends on compiler flags and options. Two source files of one
// program that were compiled with different settings then refer to different functions and types. Passing a model from
// one to the other is an undefined reference at link time, whose message contains both names; without this, the linker
// would keep one definition of each inline function, with the class layout of one of the two files.
//
//   macro                   namespace            depends on
//   MODERNGPT2_THREADS_ABI  moderngpt2           -fopenmp
//   MODERNGPT2_CPU_ABI      moderngpt2::cpu      version, MODERNGPT2_HAVE_ONEDNN, -fopenmp, vector registers (-march)
//   MODERNGPT2_CUDA_ABI     moderngpt2::cuda     version, MODERNGPT2_CUDA_SIMULATED
//
// All other code is the same with any setting; tests/headers/check_abi.py checks both. Reasons:
// docs/decisions/016-one-binary-two-settings.md

#define MODERNGPT2_ABI_VERSION v0_2

#ifdef _OPENMP
#define MODERNGPT2_THREADS_ABI openmp
#else
#define MODERNGPT2_THREADS_ABI serial
#endif

#ifdef MODERNGPT2_HAVE_ONEDNN
#define MODERNGPT2_ABI_PRODUCTS onednn
#else
#define MODERNGPT2_ABI_PRODUCTS eigen
#endif

// Floats in a vector register, and whether the processor multiplies bf16: see backend/cpu/simd.hpp.
#if defined(__AVX512BF16__)
#define MODERNGPT2_ABI_LANES lanes16bf16
#elif defined(__AVX512F__)
#define MODERNGPT2_ABI_LANES lanes16
#elif defined(__AVX__)
#define MODERNGPT2_ABI_LANES lanes8
#else
#define MODERNGPT2_ABI_LANES lanes4
#endif

#ifdef MODERNGPT2_CUDA_SIMULATED
#define MODERNGPT2_ABI_GPU simulated
#else
#define MODERNGPT2_ABI_GPU gpu
#endif

#define MODERNGPT2_ABI_PASTE_2(a, b) a##_##b
#define MODERNGPT2_ABI_PASTE_4(a, b, c, d) a##_##b##_##c##_##d
#define MODERNGPT2_ABI_JOIN_2(a, b) MODERNGPT2_ABI_PASTE_2(a, b)
#define MODERNGPT2_ABI_JOIN_4(a, b, c, d) MODERNGPT2_ABI_PASTE_4(a, b, c, d)

#define MODERNGPT2_CPU_ABI \
  MODERNGPT2_ABI_JOIN_4(MODERNGPT2_ABI_VERSION, MODERNGPT2_ABI_PRODUCTS, MODERNGPT2_THREADS_ABI, MODERNGPT2_ABI_LANES)
#define MODERNGPT2_CUDA_ABI MODERNGPT2_ABI_JOIN_2(MODERNGPT2_ABI_VERSION, MODERNGPT2_ABI_GPU)
