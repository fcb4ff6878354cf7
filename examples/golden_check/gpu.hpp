#pragma once

#include "moderngpt2/config/precision.hpp"
#include "moderngpt2/testing/golden_case.hpp"

// GPU part of `golden_check`, in the separate file gpu.cpp, because a program contains either CUDA or the simulated
// GPU.

/// Runs a case on the GPU or on the simulated one. Throws Error if this program was built without it.
moderngpt2::golden::Results run_on_gpu(const moderngpt2::golden::Case& c, moderngpt2::PrecisionName precision,
                                       bool simulated);
