// The part of `train` that runs on a GPU. Empty in builds without CUDA.

#if defined(MODERNGPT2_HAVE_CUDA) || defined(MODERNGPT2_CUDA_SIMULATED)

#include "gpu.hpp"
#include "moderngpt2/backend/cuda.hpp"
#ifdef MODERNGPT2_HAVE_NCCL
#include "moderngpt2/distributed/cuda_ranks.hpp"
#endif

namespace moderngpt2::train_program {

void require_gpu(const std::string&, bool cudnn_attention) {
  if (cudnn_attention) cuda::require_cudnn();
}

int run_on_gpu(const TrainingRequest& request, const PreparedRun& run, const TrainingHooks& hooks) {
  return with_precision(request.precision, [&]<class Precision>(Precision) {
    return detail::run_model<CausalLM<any_shape, cuda::Backend, Precision>>(request, run, hooks);
  });
}

}  // namespace moderngpt2::train_program

#endif
