#include "moderngpt2/run/task_run.hpp"
#include "moderngpt2/training/tasks/question_answering.hpp"

namespace moderngpt2 {

template int run_task<QuestionAnswering>(const TaskRequest&, const TrainingHooks&, RunTaskOnGpu<QuestionAnswering>);

}  // namespace moderngpt2
