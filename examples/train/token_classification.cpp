#include "moderngpt2/run/task_run.hpp"
#include "moderngpt2/training/tasks/token_classification.hpp"

namespace moderngpt2 {

template int run_task<TokenClassification>(const TaskRequest&, const TrainingHooks&, RunTaskOnGpu<TokenClassification>);

}  // namespace moderngpt2
