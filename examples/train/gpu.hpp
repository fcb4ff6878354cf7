#pragma once

#include <string>

#include "moderngpt2/training/run.hpp"

// The part of `train` that computes on a GPU, compiled apart: gpu.cpp.
namespace moderngpt2::train_program {

int run_on_gpu(const TrainingRequest& request, const PreparedRun& run, const TrainingHooks& hooks);
/// Throws a UsageError where this program has no CUDA, or no cuDNN for one who wants its attention.
void require_gpu(const std::string& device, bool cudnn_attention);

}  // namespace moderngpt2::train_program
