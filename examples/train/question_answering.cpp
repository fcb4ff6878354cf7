#include "moderngpt2/run/run.hpp"
#include "moderngpt2/training/tasks/question_answering.hpp"

template int moderngpt2::run_training<moderngpt2::QuestionAnswering>(const TrainingRequest&, const TrainingHooks&,
                                                                     RunOnGpu<QuestionAnswering>);
