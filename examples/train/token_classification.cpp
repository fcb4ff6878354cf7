#include "moderngpt2/run/run.hpp"
#include "moderngpt2/training/tasks/token_classification.hpp"

template int moderngpt2::run_training<moderngpt2::TokenClassification>(const TrainingRequest&, const TrainingHooks&,
                                                                       RunOnGpu<TokenClassification>);
