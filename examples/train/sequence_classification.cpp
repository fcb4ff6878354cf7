#include "moderngpt2/run/task_run.hpp"
#include "moderngpt2/training/tasks/sequence_classification.hpp"

namespace moderngpt2 {

template int run_task<SequenceClassification>(const TaskRequest&, const TrainingHooks&,
                                              RunTaskOnGpu<SequenceClassification>);

}  // namespace moderngpt2
