#include "moderngpt2/run/task_run.hpp"
#include "moderngpt2/training/tasks/multiple_choice.hpp"

namespace moderngpt2 {

template int run_task<MultipleChoice>(const TaskRequest&, const TrainingHooks&, RunTaskOnGpu<MultipleChoice>);

}  // namespace moderngpt2
