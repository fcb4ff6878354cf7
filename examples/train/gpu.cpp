// The part of `train` that runs on a GPU. Empty in builds without CUDA.

#if defined(MODERNGPT2_HAVE_CUDA) || defined(MODERNGPT2_CUDA_SIMULATED)

#include "gpu_run.hpp"

namespace moderngpt2::train_program {

void require_gpu(const std::string&, bool, bool cudnn_attention) {
  if (cudnn_attention) cuda::require_cudnn();
}

template int run_on_gpu(const TrainingRequest&, const PreparedRun<LanguageModelling>&, const TrainingHooks&);

}  // namespace moderngpt2::train_program

#endif
