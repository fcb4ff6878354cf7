#pragma once

#include "moderngpt2/training/task_run.hpp"
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

/// The same where a GPU computes: gpu_task.hpp.
template <class Task>
int run_task_on_gpu(const TrainingRequest& request, const TaskRun<Task>& run, const TrainingHooks& hooks);

}  // namespace train_program

}  // namespace moderngpt2
