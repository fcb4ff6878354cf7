#pragma once

#include <string>

#include "moderngpt2/cli/training_flags.hpp"
#include "moderngpt2/run/run.hpp"

// The part of `train` that runs on a GPU. Defined by gpu_run.hpp and gpu*.cpp in builds with CUDA; in others, the
// functions throw UsageError.
namespace moderngpt2::train_program {

#if defined(MODERNGPT2_HAVE_CUDA) || defined(MODERNGPT2_CUDA_SIMULATED)

/// Runs a prepared training, evaluation or dry run on a GPU. Returns the exit status.
template <class Task>
int run_on_gpu(const TrainingRequest& request, const PreparedRun<Task>& run, const TrainingHooks& hooks);
/// Throws UsageError if `cudnn_attention` is set and this program was built without cuDNN.
void require_gpu(const std::string& device, bool cudnn_attention);

#else

template <class Task>
int run_on_gpu(const TrainingRequest&, const PreparedRun<Task>&, const TrainingHooks&) {
  throw no_cuda("cuda");
}
inline void require_gpu(const std::string& device, bool) { throw no_cuda(device); }

#endif

}  // namespace moderngpt2::train_program
