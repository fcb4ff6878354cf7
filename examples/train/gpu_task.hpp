#pragma once

#include "moderngpt2/backend/cuda.hpp"
#include "moderngpt2/run/task_run.hpp"
#include "tasks.hpp"
#ifdef MODERNGPT2_HAVE_NCCL
#include "moderngpt2/distributed/cuda_ranks.hpp"
#endif

// In builds with CUDA, each gpu_*.cpp file of this folder except gpu.cpp instantiates this template for one task.
namespace moderngpt2::train_program {

template <class Task>
int run_task_on_gpu(const TrainingRequest& request, const TaskRun<Task>& run, const TrainingHooks& hooks) {
  return with_precision(request.precision, [&]<class Precision>(Precision) {
    return detail::run_model<typename Task::template Model<cuda::Backend, Precision>, Task>(request, run, hooks);
  });
}

}  // namespace moderngpt2::train_program
