#pragma once

// Matrix products of one GPU behind one interface, class Blas:
//
//   Blas()                                                      a library's handle and its workspace
//   multiply(stream, const ProductShape&, a, b, c, bias)        queues a product of matrices in GPU memory
//   search(bool)                                                whether algorithms of new shapes are timed; the
//   simulated
//                                                               GPU has one
//   workspace_bytes()
//
// A GPU has cuBLASLt, the simulated one has Eigen.

#ifdef MODERNGPT2_CUDA_SIMULATED
#include "moderngpt2/backend/cuda/simt/blas.hpp"
#else
#include "moderngpt2/backend/cuda/cublaslt.hpp"
#endif
