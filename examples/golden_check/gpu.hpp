#pragma once

#include "moderngpt2/config/precision.hpp"
#include "moderngpt2/testing/golden_case.hpp"

// The parts of `golden_check` that compute on a GPU, in gpu.cpp: a file of its own, since a program holds either CUDA
// or the simulated GPU.

/// Runs a case on the GPU, or on the simulated one. An Error where this program has none of the kind.
moderngpt2::golden::Results run_on_gpu(const moderngpt2::golden::Case& c, moderngpt2::PrecisionName precision,
                                       bool simulated);
