#pragma once

#include <string>

#include "moderngpt2/cli/training_flags.hpp"
#include "moderngpt2/run/run.hpp"

// The part of `train` for GPUs. Builds with CUDA define it in gpu_run.hpp and gpu*.cpp, other builds in gpu_plan.cpp.
namespace moderngpt2::train_program {

/// Runs a prepared training, evaluation or dry run on a GPU. Returns the exit status. Builds without CUDA support only
/// dry runs.
template <class Task>
int run_on_gpu(const TrainingRequest& request, const PreparedRun<Task>& run, const TrainingHooks& hooks);

/// Throws UsageError if this program was built without CUDA and `dry_run` is false, or if it was built without cuDNN
/// and `cudnn_attention` is set.
void require_gpu(const std::string& device, bool dry_run, bool cudnn_attention);

}  // namespace moderngpt2::train_program
