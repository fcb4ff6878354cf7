#pragma once

#include "moderngpt2/cli/training_flags.hpp"
#include "moderngpt2/training/task_run.hpp"
#include "tasks.hpp"

#if defined(MODERNGPT2_HAVE_CUDA) || defined(MODERNGPT2_CUDA_SIMULATED)
#include "moderngpt2/backend/cuda.hpp"
#ifdef MODERNGPT2_HAVE_NCCL
#include "moderngpt2/distributed/cuda_ranks.hpp"
#endif
#endif

// What the files gpu_*.cpp beside this one compile, a task each.
namespace moderngpt2::train_program {

template <class Task>
int run_task_on_gpu([[maybe_unused]] const TrainingRequest& request, [[maybe_unused]] const TaskRun<Task>& run,
                    [[maybe_unused]] const TrainingHooks& hooks) {
#if defined(MODERNGPT2_HAVE_CUDA) || defined(MODERNGPT2_CUDA_SIMULATED)
  return with_precision(request.precision, [&]<class Precision>(Precision) {
    return detail::run_model<typename Task::template Model<cuda::Backend, Precision>, Task>(request, run, hooks);
  });
#else
  throw no_cuda("cuda");
#endif
}

}  // namespace moderngpt2::train_program
