#if defined(MODERNGPT2_HAVE_CUDA) || defined(MODERNGPT2_CUDA_SIMULATED)

#include "gpu_run.hpp"
#include "moderngpt2/training/tasks/question_answering.hpp"

template int moderngpt2::train_program::run_on_gpu(const TrainingRequest&, const PreparedRun<QuestionAnswering>&,
                                                   const TrainingHooks&);

#endif
