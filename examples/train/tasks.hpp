#pragma once

#include "moderngpt2/cli/training_flags.hpp"
#include "moderngpt2/run/task_run.hpp"
#include "moderngpt2/training/tasks/multiple_choice.hpp"
#include "moderngpt2/training/tasks/question_answering.hpp"
#include "moderngpt2/training/tasks/sequence_classification.hpp"
#include "moderngpt2/training/tasks/token_classification.hpp"

namespace moderngpt2 {

// Each is compiled in a file of its own beside this one: a model and its trainer take most of a minute.
extern template int run_task<SequenceClassification>(const TaskRequest&, const TrainingHooks&,
                                                     RunTaskOnGpu<SequenceClassification>);
extern template int run_task<TokenClassification>(const TaskRequest&, const TrainingHooks&,
                                                  RunTaskOnGpu<TokenClassification>);
extern template int run_task<QuestionAnswering>(const TaskRequest&, const TrainingHooks&,
                                                RunTaskOnGpu<QuestionAnswering>);
extern template int run_task<MultipleChoice>(const TaskRequest&, const TrainingHooks&, RunTaskOnGpu<MultipleChoice>);

namespace train_program {

/// Runs a prepared task on a GPU; defined in gpu_task.hpp. Throws UsageError in builds without CUDA.
template <class Task>
int run_task_on_gpu([[maybe_unused]] const TrainingRequest& request, [[maybe_unused]] const TaskRun<Task>& run,
                    [[maybe_unused]] const TrainingHooks& hooks)
#if defined(MODERNGPT2_HAVE_CUDA) || defined(MODERNGPT2_CUDA_SIMULATED)
    ;
#else
{
  throw no_cuda("cuda");
}
#endif

}  // namespace train_program

}  // namespace moderngpt2
