#include "moderngpt2/run/run.hpp"
#include "moderngpt2/training/tasks/multiple_choice.hpp"

template int moderngpt2::run_training<moderngpt2::MultipleChoice>(const TrainingRequest&, const TrainingHooks&,
                                                                  RunOnGpu<MultipleChoice>);
