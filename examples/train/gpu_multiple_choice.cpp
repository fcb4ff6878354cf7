#if defined(MODERNGPT2_HAVE_CUDA) || defined(MODERNGPT2_CUDA_SIMULATED)

#include "gpu_task.hpp"
#include "moderngpt2/training/tasks/multiple_choice.hpp"

template int moderngpt2::train_program::run_task_on_gpu(const TrainingRequest&, const TaskRun<MultipleChoice>&,
                                                        const TrainingHooks&);

#endif
