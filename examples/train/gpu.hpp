#pragma once

#include <string>

#include "moderngpt2/cli/training_flags.hpp"
#include "moderngpt2/run/run.hpp"

// The part of `train` that runs on a GPU. With CUDA, gpu.cpp defines it; without CUDA, the functions throw UsageError.
namespace moderngpt2::train_program {

#if defined(MODERNGPT2_HAVE_CUDA) || defined(MODERNGPT2_CUDA_SIMULATED)

/// Trains or evaluates the language model on a GPU.
int run_on_gpu(const TrainingRequest& request, const PreparedRun& run, const TrainingHooks& hooks);
/// Throws UsageError if this program was built without CUDA, or without cuDNN and `cudnn_attention` is set.
void require_gpu(const std::string& device, bool cudnn_attention);

#else

inline int run_on_gpu(const TrainingRequest&, const PreparedRun&, const TrainingHooks&) { throw no_cuda("cuda"); }
inline void require_gpu(const std::string& device, bool) { throw no_cuda(device); }

#endif

}  // namespace moderngpt2::train_program
