#pragma once

#include <string>

#include "moderngpt2/cli/training_flags.hpp"
#include "moderngpt2/training/run.hpp"

// The part of `train` that computes on a GPU. With CUDA it is compiled apart, in gpu.cpp; without, nothing is left of
// it.
namespace moderngpt2::train_program {

#if defined(MODERNGPT2_HAVE_CUDA) || defined(MODERNGPT2_CUDA_SIMULATED)

/// Runs a request with the language model on a GPU.
int run_on_gpu(const TrainingRequest& request, const PreparedRun& run, const TrainingHooks& hooks);
/// Throws a UsageError if this program has no CUDA, or no cuDNN although its attention is asked for.
void require_gpu(const std::string& device, bool cudnn_attention);

#else

inline int run_on_gpu(const TrainingRequest&, const PreparedRun&, const TrainingHooks&) { throw no_cuda("cuda"); }
inline void require_gpu(const std::string& device, bool) { throw no_cuda(device); }

#endif

}  // namespace moderngpt2::train_program
