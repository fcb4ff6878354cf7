#pragma once

#include "gpu.hpp"
#include "moderngpt2/backend/cuda.hpp"
#ifdef MODERNGPT2_HAVE_NCCL
#include "moderngpt2/distributed/cuda_ranks.hpp"
#endif

// In builds with CUDA, each gpu*.cpp file of this folder instantiates this template for one task: models compile in
// parallel.
namespace moderngpt2::train_program {

template <class Task>
int run_on_gpu(const TrainingRequest& request, const PreparedRun<Task>& run, const TrainingHooks& hooks) {
  return with_precision(request.precision, [&]<class Precision>(Precision) {
    return detail::run_model<typename Task::template Model<cuda::Backend, Precision>>(request, run, hooks);
  });
}

}  // namespace moderngpt2::train_program
